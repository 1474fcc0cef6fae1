"""The file of calls: its tables, its records, and how it is opened or refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from generation.engines.base import Completion, Usage

APPLICATION_ID = 0x534F4C4E
"""Marks a database as ours ("SOLN")."""
VERSION = 2
BUSY_SECONDS = 10.0
"""How long another program may hold the file before that is an error."""

_CREATE = f"""
CREATE TABLE calls (
    key BLOB PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, reused INTEGER NOT NULL, seconds REAL NOT NULL,
    prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, record BLOB NOT NULL
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_COLUMNS = "stage, model, seconds, prompt_tokens, cached_tokens, completion_tokens, record"
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StoreError(Exception):
    """The calls cannot be read or written; the message names the file and the fix."""


class Row(NamedTuple):
    """One stored call, without its key."""

    stage: str
    model: str
    seconds: float
    """Time the engine took."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    record: bytes
    """JSON of the rest of the completion. UTF-8 with surrogates let through, so that any text at all survives."""

    def completion(self) -> Completion:
        """The completion, equal to the one that was stored."""
        fields: dict[str, Any] = json.loads(self.record.decode("utf-8", "surrogatepass"))
        scores = tuple(fields.pop("scores", ()))
        return Completion(
            **fields, scores=scores, usage=Usage(self.prompt_tokens, self.cached_tokens, self.completion_tokens)
        )


def to_row(stage: str, model: str, completion: Completion, seconds: float) -> Row:
    """What is stored of a call."""
    fields: dict[str, Any] = {
        "text": completion.text,
        "finish": completion.finish,
        "logprobs": completion.logprobs,
        "error": completion.error,
    }
    if completion.scores:
        fields["scores"] = completion.scores
    record = _encode_json(fields).encode("utf-8", "surrogatepass")
    usage = completion.usage
    return Row(stage, model, seconds, usage.prompt, usage.cached, usage.completion, record)


class StoredCalls:
    """The calls of one or several runs, read only. The first file that has a call answers for it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the files; a run that was killed before its first call has none. Raises StoreError."""
        self._files: list[tuple[Path, sqlite3.Connection]] = []
        try:
            for path in paths:
                self._files.append((path, _open_to_read(path)))
        except StoreError:
            self.close()
            raise
        self._full = [not _is_empty(path, connection) for path, connection in self._files]

    def find(self, key: bytes) -> tuple[int, Row] | None:
        """The call and the place of its file in the list. Raises StoreError."""
        for place, (path, connection) in enumerate(self._files):
            if self._full[place]:
                found = read(path, connection, f"SELECT {_COLUMNS} FROM calls WHERE key = ?", key)
                if found:
                    return place, Row._make(found)
        return None

    def get(self, key: bytes) -> Completion | None:
        """The stored completion. Raises StoreError."""
        found = self.find(key)
        return found[1].completion() if found else None

    def close(self) -> None:
        """Close the files."""
        for _, connection in self._files:
            connection.close()


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open or create a file of calls; fails now, not at the first call, when it cannot be written. Raises StoreError."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _check_ours(path, connection)
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(
                    f"{path}: its file system allows no write-ahead log (got {mode}); use a folder on a local disk"
                )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(path, connection):
                for statement in _CREATE.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(path, error) from None
    return connection


def read(path: Path, connection: sqlite3.Connection, sql: str, *values: bytes) -> tuple[Any, ...] | None:
    """The first row of an answer. Raises StoreError."""
    try:
        row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
    except sqlite3.Error as error:
        raise explain(path, error) from None
    return row


def explain(path: Path, error: Exception) -> StoreError:
    """The same error, with the file and what to do about it."""
    code = getattr(error, "sqlite_errorname", "")
    return StoreError(f"{path}: {error or type(error).__name__}; {_fix(code)}")


def _fix(code: str) -> str:
    if code == "SQLITE_FULL":
        return "the disk is full: free some space and run the same command again, committed calls are kept"
    if code.startswith("SQLITE_IOERR"):
        return "check the disk, its free space and file size limits, then run the same command again, committed calls are kept"
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "the file is damaged or no database: restore it, or move it away and its calls are made again"
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return "it cannot be opened for that: check that its folder exists and the permissions of both, or choose another folder"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds it open: close that and run the same command again"
    return "run the same command again, committed calls are kept"


def _open_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"{path}: no such file; --reuse takes the folder of a run that has made calls")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        try:
            return _connect_to_read(path, uri)
        except sqlite3.OperationalError:
            # A finished run in a folder that we may not write: no log to share, so nobody else is writing either.
            if path.with_name(f"{path.name}-wal").exists():
                raise
            return _connect_to_read(path, f"{uri}&immutable=1")
    except sqlite3.Error as error:
        raise explain(path, error) from None


def _connect_to_read(path: Path, uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _check_ours(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_ours(path: Path, connection: sqlite3.Connection) -> None:
    own = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (own, version) == (APPLICATION_ID, VERSION) or ((own, version) == (0, 0) and _is_empty(path, connection)):
        return
    if own == APPLICATION_ID:
        raise StoreError(
            f"{path}: has calls of format {version}; allowed: {VERSION}; choose another --out, without --reuse of this run"
        )
    raise StoreError(
        f"{path}: is another program's database (application id {own:#x}, allowed: {APPLICATION_ID:#x}); move it away"
    )


def _is_empty(path: Path, connection: sqlite3.Connection) -> bool:
    return read(path, connection, "SELECT 1 FROM sqlite_master LIMIT 1") is None
