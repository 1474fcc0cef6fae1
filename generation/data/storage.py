"""Files wherever they lie: on this machine, or behind an address that fsspec knows, as s3:// and hf://; plain or compressed."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
from fsspec.registry import known_implementations

from constitution.errors import Problem, UserError, suggest
from generation.data.record import reading, words

TEXT = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
"""Endings of text files, which may be compressed, and their formats."""
TABLES = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}
"""Endings of tables."""
COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
ALLOWED = (
    ".jsonl, .json, .csv or .tsv (plain, .gz, .zst or .bz2), .parquet, .arrow, a datasets folder, an address such as s3://, "
    "or a hub id such as owner/name"
)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:::|://)")


class Kind(NamedTuple):
    """What a file's name says of it."""

    format: str
    compression: str | None


class File(NamedTuple):
    """A file that may be opened."""

    name: str
    """As messages name it."""
    kind: Kind
    path: str
    """Within its file system."""
    system: Any = None
    """An fsspec file system; None for this machine's."""

    def open(self) -> io.BufferedReader:
        """The file's bytes, decompressed. Raises UserError."""
        with reading(self.name):
            raw = self._raw()
            if self.kind.compression:
                raw = pa.input_stream(raw, compression=self.kind.compression)
            return raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw, 1 << 16)

    def _raw(self) -> Any:
        if self.system is None:
            return Path(self.path).open("rb")
        try:
            opened = self.system.open(self.path, "rb")
        except Exception as error:  # each file system has errors of its own
            raise UserError(Problem(self.name, "", f"cannot be read ({words(error)})")) from None
        return opened


def is_address(spec: str) -> bool:
    """Whether it names a file system."""
    return bool(_ADDRESS.match(spec))


def kind_of(name: str) -> Kind | None:
    """What a name says of its file; None where it is none that is read."""
    path = Path(name.lower())
    suffix, compression = path.suffix, None
    if suffix in COMPRESSED:
        compression, suffix = COMPRESSED[suffix], Path(path.stem).suffix
    format = TEXT.get(suffix) or (TABLES.get(suffix) if compression is None else None)
    return Kind(format, compression) if format else None


def file_at(path: Path) -> File:
    """A file of this machine. Raises UserError where its ending says nothing that is read."""
    return File(str(path), known(str(path)), str(path))


def known(name: str) -> Kind:
    """What a name says of its file. Raises UserError."""
    kind = kind_of(name)
    if kind is None:
        got = f"got the ending {Path(name).suffix or '(none)'!r}"
        raise UserError(Problem(name, "", got, ALLOWED, "rename or convert the file"))
    return kind


def remote(address: str) -> tuple[Any, str]:
    """(file system, path in it). Raises UserError, and says what to install where a file system is missing."""
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UserError(Problem(address, "", f"needs another package ({words(error)})", "", "install it")) from None
    except Exception as error:  # each file system has errors of its own
        found = _ADDRESS.match(address)
        name = found[1] if found else ""
        unknown = name not in known_implementations
        got = f"got the file system {name!r}{suggest(name, known_implementations)}" if unknown else words(error)
        raise UserError(Problem(address, "", got, "file systems of fsspec, as s3://, gs://, hf://, https://")) from None
    return system, path


def remote_files(address: str) -> tuple[list[File], bool]:
    """(files at an address, whether it is a folder). Raises UserError."""
    system, path = remote(address)
    head = address[: len(address) - len(path)] if address.endswith(path) else ""
    try:
        folder = not system.isfile(path) and system.isdir(path)
        found = sorted(system.find(path)) if folder else [path]
        if not folder and not system.exists(path):
            raise UserError(Problem(address, "", "no such file or folder", ALLOWED))
    except UserError:
        raise
    except Exception as error:  # each file system has errors of its own
        got = f"cannot be reached ({words(error)})"
        raise UserError(Problem(address, "", got, "", "check the address, the network and your credentials")) from None
    if not folder:
        return [File(address, known(path), path, system)], False
    return [File(f"{head}{name}", kind, name, system) for name in found if (kind := kind_of(name))], True
