"""Files that are written whole or not at all, durably, never through a link, and known by their digest."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from functools import lru_cache
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TextIO

from constitution.errors import Problem, UserError


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or nothing, durably. A link that stands in its place is replaced, and what it leads to is left alone."""
    temporary = path.with_name(path.name + ".tmp")
    with create(temporary) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    replace(temporary, path)


def replace(source: Path, target: Path) -> None:
    """Put a file in the place of another or of a link, durably. Raises UserError where a folder stands there."""
    if target.is_dir() and not target.is_symlink():
        raise UserError(Problem(str(target), got="is a folder, where a file is to be written", fix="move it away"))
    os.replace(source, target)
    sync(target.parent)


SEAL = "# sha256 of all that is above: "


def write_sealed(path: Path, text: str) -> None:
    """Write a YAML text, atomically and durably, with its sha256 as a comment in the last line."""
    write_atomically(path, _sealed(text))


def read_sealed(path: Path) -> str:
    """A text that `write_sealed` wrote. Raises FileNotFoundError, other OSErrors, and ValueError for any other text."""
    found = contents(path).decode()
    text = found.rpartition(SEAL)[0]
    if found != _sealed(text):
        raise ValueError("is damaged, or was changed by hand")
    return text


def _sealed(text: str) -> str:
    return f"{text}{SEAL}{sha256(text.encode()).hexdigest()}\n"


def create(path: Path) -> TextIO:
    """A new text file, in place of a file or link of that name. Nobody else's file is ever opened: not even where one is put there
    meanwhile.
    """
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, where there is one. What a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def links_out(folder: Path) -> Iterator[Path]:
    """Links in a folder that lead out of it: what is written there would be written elsewhere."""
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                yield folder / path.relative_to(root)


def refuse_links(folder: Path) -> None:
    """Raises UserError with every link in a folder that leads out of it."""
    fix = "remove the link"
    found = [Problem(str(path), got=f"is a link to {os.readlink(path)}", fix=fix) for path in links_out(folder)]
    if found:
        raise UserError(found)


def part_name(name: str, number: int, parts: int) -> str:
    """What a part of a table is called: `votes-00000-of-00002.parquet`, and `votes.parquet` where it is the only one."""
    stem, dot, ending = name.rpartition(".")
    return name if parts == 1 else f"{stem}-{number:05}-of-{parts:05}{dot}{ending}"


def parts_of(path: Path) -> list[Path]:
    """The files of a table, in their order: itself, or its parts where it has several; none where it is not there."""
    if path.is_file():
        return [path]
    return sorted(path.parent.glob(f"{escape(path.stem)}-{'[0-9]' * 5}-of-{'[0-9]' * 5}{path.suffix}"))


def sync(path: Path) -> None:
    """Wait until a file's contents, or the renames in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def ordinary(path: Path) -> BinaryIO:
    """A file of a folder of ours, opened to be read. Raises OSError, also for what is no ordinary file: a pipe would never end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "is no ordinary file", str(path))
    return os.fdopen(handle, "rb")


def contents(path: Path) -> bytes:
    """All of an `ordinary` file."""
    with ordinary(path) as file:
        return file.read()


def file_sha256(path: Path) -> str:
    """Hex digest of an `ordinary` file. Raises OSError."""
    status = path.stat()
    return _sha256(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(1024)
def _sha256(path: Path, *_: int) -> str:
    """Once in a process for a file that is still the same one."""
    h = sha256()
    with ordinary(path) as file:
        while chunk := file.read(1 << 20):
            h.update(chunk)
    return h.hexdigest()
