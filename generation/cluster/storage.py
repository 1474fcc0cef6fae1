"""A folder wherever fsspec reaches, as s3:// or a shared disk: files come into it whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from constitution.errors import Unavailable
from generation.data.storage import remote
from generation.output.files import sync

TEMPORARY = ".copying"
"""What a name ends in while a file is written."""


class StorageError(Unavailable):
    """The storage cannot be reached, is full, or has lost a file. The same command resumes."""


class Storage:
    """Files under one address. Every method raises StorageError."""

    def __init__(self, address: str) -> None:
        """address: of a folder, which need not be there. Raises UserError where its file system is not known."""
        self.address = address.rstrip("/")
        self._system, path = remote(self.address)
        self._root = path.rstrip("/")
        self.folder = Path(self._root) if isinstance(self._system, LocalFileSystem) else None
        """Where it lies on this machine; None where it is elsewhere."""

    def put(self, source: Path, name: str) -> None:
        """Copy a file of this machine there, in place of one of that name."""
        with self._telling(f"cannot take {name}"):
            path = self._path(name)
            temporary = f"{path}.{uuid.uuid4().hex[:12]}{TEMPORARY}"
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                if self.folder is not None:
                    shutil.copyfile(source, temporary)
                    sync(Path(temporary))
                    os.replace(temporary, path)
                    sync(Path(path).parent)
                else:
                    self._system.put_file(str(source), temporary)
                    self._system.mv(temporary, path)
            except BaseException:
                with suppress(Exception):
                    self._system.rm(temporary)
                raise

    def write(self, name: str, text: str, scratch: Path) -> None:
        """Put a text there. scratch: a folder of this machine."""
        scratch.mkdir(parents=True, exist_ok=True)
        source = scratch / f"{uuid.uuid4().hex}.txt"
        try:
            source.write_text(text, encoding="utf-8")
            self.put(source, name)
        finally:
            source.unlink(missing_ok=True)

    def read(self, name: str) -> str | None:
        """A file's text; None where there is none."""
        with self._telling(f"cannot give {name}"):
            path = self._path(name)
            self._system.invalidate_cache()
            try:
                return bytes(self._system.cat_file(path)).decode()
            except FileNotFoundError:
                return None

    def get(self, name: str, target: Path) -> bool:
        """Copy a file to this machine, whole or not at all; False where there is none."""
        with self._telling(f"cannot give {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:12]}{TEMPORARY}")
            try:
                self._system.get_file(self._path(name), str(temporary))
                os.replace(temporary, target)
            except FileNotFoundError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
            return True

    def files(self, name: str = "") -> list[str]:
        """Names, below this one, of the files in a folder and in those inside; none where there is no such folder."""
        with self._telling(f"cannot list {name or 'its files'}"):
            path = self._path(name)
            self._system.invalidate_cache()
            try:
                found = self._system.find(path)
            except FileNotFoundError:
                return []
            return sorted(one[len(path) :].lstrip("/") for one in found)

    def names(self) -> list[str]:
        """What lies directly in it."""
        with self._telling("cannot be listed"):
            self._system.invalidate_cache()
            try:
                found = self._system.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
            return sorted(one.rstrip("/").rpartition("/")[2] for one in found)

    def remove(self, name: str) -> None:
        """Remove a file or a whole folder, where there is one."""
        with self._telling(f"cannot remove {name}"), suppress(FileNotFoundError):
            self._system.rm(self._path(name), recursive=True)

    def put_folder(self, folder: Path, name: str, last: str = "") -> list[str]:
        """Copy a folder's files there, one of them last; returns their names."""
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        for one in sorted(found, key=lambda one: one == last):
            self.put(folder / one, f"{name}/{one}".lstrip("/"))
        return found

    def get_folder(self, name: str, folder: Path) -> None:
        """Copy a folder's files to this machine."""
        for one in self.files(name):
            self.get(f"{name}/{one}".lstrip("/"), folder / one)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has errors of its own
            words = " ".join(str(error).split())[:300] or type(error).__name__
            raise StorageError(f"{self.address}: {what} ({words}); run the same command again to resume") from error
