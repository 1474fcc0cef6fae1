"""Every model call on disk, by the key of its content. A kill loses at most one commit window.

SQLite in WAL mode with synchronous=FULL; one writer thread commits many records at once (group commit). The file must not
live on a network file system: WAL needs shared memory.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from constitution.records import Stage
from generation.engine import Completion, Usage

APPLICATION_ID = 0x534F4C4E
"""Marks a database as ours ("SOLN")."""
VERSION = 1

_CREATE = """
CREATE TABLE IF NOT EXISTS calls (
    key BLOB PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID
"""


class StoreError(Exception):
    """The calls cannot be read or written; the message names the file and the fix."""


class CallStore:
    """Calls by key. `get` sees what `put` was given at once; `flush` waits until it is on disk.

    Not for several writers: the run folder's lock keeps other processes out. Use from one thread.
    """

    def __init__(self, path: Path, reuse: Sequence[Path] = (), window: int = 256, seconds: float = 0.05) -> None:
        """Open or create. `reuse` are other runs' files, read only. A commit waits for `window` records or `seconds`."""
        self.path = path
        self._window = window
        self._seconds = seconds
        self._readers = [_open(other, create=False) for other in reuse]
        self._own = _open(path, create=True)
        self._pending: dict[bytes, tuple[Stage, str, str]] = {}
        self._writing: dict[bytes, tuple[Stage, str, str]] = {}
        self._changed = threading.Condition()
        self._error: StoreError | None = None
        self._closing = False
        self._hurry = False
        self._writer = threading.Thread(target=self._write, name="call-store", daemon=True)
        self._writer.start()

    def get(self, key: bytes) -> Completion | None:
        """The stored completion, this run's or a reused run's (which is copied into this one). Raises StoreError."""
        with self._changed:
            waiting = self._pending.get(key) or self._writing.get(key)
        if waiting:
            return _decode(waiting[2])
        for place, connection in enumerate((self._own, *self._readers)):
            row = _query(connection, self.path, "SELECT stage, model, record FROM calls WHERE key = ?", key)
            if row:
                if place:
                    self._enqueue(key, (row[0], row[1], row[2]))
                return _decode(row[2])
        return None

    def put(self, key: bytes, stage: Stage, model: str, completion: Completion) -> None:
        """Store a completion, soon. Raises StoreError when an earlier write failed."""
        self._enqueue(key, (stage, model, _encode(completion)))

    def flush(self) -> None:
        """Wait until everything put so far is on disk. Raises StoreError."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or not (self._pending or self._writing))
            self._hurry = False
            if self._error:
                raise self._error

    def __len__(self) -> int:
        """Calls on disk."""
        return int(_query(self._own, self.path, "SELECT count(*) FROM calls")[0])

    def close(self) -> None:
        """Flush and close. Safe to call twice."""
        if self._closing:
            return
        try:
            self.flush()
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._writer.join()
            for connection in (self._own, *self._readers):
                connection.close()

    def _enqueue(self, key: bytes, record: tuple[Stage, str, str]) -> None:
        with self._changed:
            if self._error:
                raise self._error
            self._pending[key] = record
            if len(self._pending) == 1 or len(self._pending) >= self._window:
                self._changed.notify_all()

    def _write(self) -> None:
        """The writer thread: one transaction per window."""
        try:
            connection = _open(self.path, create=True)
        except StoreError as error:
            self._fail(error)
            return
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    break
                self._changed.wait_for(lambda: len(self._pending) >= self._window or self._hurry or self._closing, self._seconds)
                self._writing, self._pending = self._pending, {}
            try:
                with connection:
                    rows = ((key, *record) for key, record in self._writing.items())
                    connection.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)", rows)
            except sqlite3.Error as error:
                self._fail(_explain(self.path, error))
                break
            with self._changed:
                self._writing = {}
                self._changed.notify_all()
        connection.close()

    def _fail(self, error: StoreError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


class StoredCalls:
    """Another process's or a finished run's calls, read only: for plans, which change nothing."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._readers = [(path, _open(path, create=False)) for path in paths]

    def get(self, key: bytes) -> Completion | None:
        """The stored completion. Raises StoreError."""
        for path, connection in self._readers:
            row = _query(connection, path, "SELECT record FROM calls WHERE key = ?", key)
            if row:
                return _decode(row[0])
        return None

    def close(self) -> None:
        """Close the files."""
        for _, connection in self._readers:
            connection.close()


def _open(path: Path, create: bool) -> sqlite3.Connection:
    if not create and not path.is_file():
        raise StoreError(f"{path}: no such file; --reuse takes the folder of a run that has made calls")
    try:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        own = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (own, version) != (APPLICATION_ID, VERSION):
            connection.close()
            raise StoreError(f"{path}: is another program's database or another version's (application {own:#x}, version {version}); allowed is {APPLICATION_ID:#x}, version {VERSION}; move it away")
        if create:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            if not tables:
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={VERSION}")
                with connection:
                    connection.execute(_CREATE)
        else:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        raise _explain(path, error) from None
    return connection


def _query(connection: sqlite3.Connection, path: Path, sql: str, *values: bytes) -> tuple[str, ...]:
    try:
        return tuple(connection.execute(sql, values).fetchone() or ())
    except sqlite3.Error as error:
        raise _explain(path, error) from None


def _explain(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    fix = "check the disk and its permissions"
    if "full" in text:
        fix = "the disk is full; free some space and run the same command again: what was committed is kept"
    elif "malformed" in text or "not a database" in text:
        fix = "the file is damaged or no database; restore or delete it, the calls in it are made again"
    elif "readonly" in text or "unable to open" in text:
        fix = "no permission to write there; choose another folder"
    return StoreError(f"{path}: {text}; {fix}")


def _encode(completion: Completion) -> str:
    """JSON with ASCII escapes, so that any text at all, lone surrogates too, survives."""
    return json.dumps(asdict(completion), separators=(",", ":"))


def _decode(record: str) -> Completion:
    fields = json.loads(record)
    fields["usage"] = Usage(**fields["usage"])
    return Completion(**fields)
