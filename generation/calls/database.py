"""The file of calls as a database: opened, checked to be ours, and its errors told with what to do about them.

SQLite with a write-ahead log and full synchronisation. The file must not live on a network file system: the log's index is shared
memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from constitution.errors import Problem, UserError

APPLICATION_ID = 0x534F4C4E
"""Marks a database as ours ("SOLN")."""
VERSION = 8
"""Raise it when the meaning of a stored completion changes. Since 3 log-probabilities are of logits in float32, and errors are
of the request alone; since 5 what was asked and what came of prompts is stored too; since 6 which tokens are estimated, and calls
that were paid and are not kept; since 7 each call has a checksum; since 8 keys are made of messages, never of token ids."""
BUSY_SECONDS = 10.0
"""How long another program may hold the file before that is an error."""

TABLES = ("calls", "texts", "outcomes")
_CREATE = f"""
CREATE TABLE calls (
    key BLOB PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, reused INTEGER NOT NULL, seconds REAL NOT NULL,
    prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    estimated_tokens INTEGER NOT NULL, batched INTEGER NOT NULL, failed TEXT NOT NULL,
    prompt TEXT NOT NULL, subject TEXT NOT NULL, asked BLOB NOT NULL, record BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE texts (digest BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE outcomes (prompt TEXT PRIMARY KEY, state BLOB NOT NULL, body BLOB NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""


class StoreError(UserError):
    """The calls cannot be read or written; the message names the file and the fix."""

    def __init__(self, what: str | Problem | Iterable[Problem]) -> None:
        super().__init__(Problem("", got=what) if isinstance(what, str) else what)


def roll_back(connection: sqlite3.Connection) -> None:
    """Give up a transaction, where one was begun."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


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
            if is_empty(path, connection):
                for statement in _CREATE.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(path, error) from None
    return connection


def read_row(path: Path, connection: sqlite3.Connection, sql: str, *values: bytes | str) -> tuple[Any, ...] | None:
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


def damaged(path: Path, calls: int) -> StoreError:
    """Calls that are not as they were stored."""
    fix = f"run the command of {path.parent} again with --forget damaged, which makes them anew"
    return StoreError(Problem(str(path), got=f"{calls:,} stored calls are damaged", fix=fix))


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a file of calls that another program may be writing. Raises StoreError."""
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


def copy(path: Path, target: Path) -> int:
    """Copy a file of calls that may be written meanwhile, as it is at one moment and in one file; returns its number of calls.

    Raises StoreError.
    """
    source = open_to_read(path)
    try:
        target.unlink(missing_ok=True)
        own = sqlite3.connect(target, isolation_level=None)
        try:
            source.backup(own)
            own.execute("PRAGMA journal_mode = DELETE")  # a reader then needs no file beside it
            empty = is_empty(target, own)
            return 0 if empty else int(own.execute("SELECT count(*) FROM calls").fetchone()[0])
        finally:
            own.close()
    except sqlite3.Error as error:
        raise explain(target, error) from None
    finally:
        source.close()


def _connect_to_read(path: Path, uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = partial(
        str, encoding="utf-8", errors="replace"
    )  # damaged text is for its checksum to tell
    try:
        _check_ours(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_ours(path: Path, connection: sqlite3.Connection) -> None:
    own = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (own, version) == (0, 0) and is_empty(path, connection):
        return
    if (own, version) == (APPLICATION_ID, VERSION):
        made = {
            (kind, name) for kind, name in connection.execute("SELECT type, name FROM sqlite_master WHERE sql > ''")
        }
        if made != {("table", name) for name in TABLES}:  # a view or a trigger may do anything, for ever
            got = f"holds other things than {', '.join(TABLES)}"
            raise StoreError(Problem(str(path), got=got, fix="it was changed by hand: restore it, or leave it out"))
        return
    if own == APPLICATION_ID:
        raise StoreError(
            f"{path}: has calls of format {version}; allowed: {VERSION}; choose another --out, without --reuse of this run"
        )
    raise StoreError(
        f"{path}: is another program's database (application id {own:#x}, allowed: {APPLICATION_ID:#x}); move it away"
    )


def is_empty(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever written to it. Raises StoreError."""
    return read_row(path, connection, "SELECT 1 FROM sqlite_master LIMIT 1") is None
