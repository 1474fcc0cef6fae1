"""Every model call on disk, by the key of its content. A kill loses at most one commit window.

SQLite with a write-ahead log and full synchronisation; one writer thread commits many records at once (group commit,
DeWitt et al. 1984). The file must not live on a network file system: the log's index is shared memory.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from constitution.records import Stage
from generation.calls.call_file import Row, StoredCalls, StoreError, explain, open_to_write, read, to_row
from generation.engines.base import Completion, Usage

__all__ = ["CallStore", "StoreError", "StoredCalls", "Totals"]

BACKLOG = 16
"""How many windows may wait for the disk before `put` does too: bounds memory when the disk is slower than the model."""

_INSERT = f"INSERT OR IGNORE INTO calls VALUES ({', '.join('?' * 9)})"
_TOTALS = """
SELECT coalesce(sum(NOT reused), 0), coalesce(sum(reused), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
       coalesce(sum(completion_tokens), 0), coalesce(sum(CASE WHEN reused THEN 0 ELSE seconds END), 0.0)
FROM calls
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """All calls of a run, over all its restarts."""

    made: int
    reused: int
    """Calls taken from other runs."""
    tokens: Usage
    """Tokens of all of them, reused ones too."""
    seconds: float
    """Engine time of the calls that were made, summed; calls run side by side, so it exceeds the time on the clock."""


@dataclass(frozen=True, slots=True)
class _Entry:
    row: Row
    reused: bool


class CallStore:
    """Calls by key. `get` sees what `put` was given at once; `flush` waits until it is on disk.

    One process writes, the run folder's lock sees to that; others may read.
    """

    def __init__(
        self, path: Path, window: int = 256, window_seconds: float = 0.05, *, reuse: Sequence[Path] = ()
    ) -> None:
        """Open or create. A commit waits for `window` records or `window_seconds`. `reuse` are other runs' files.

        Raises StoreError when a file cannot be used.
        """
        self.path = path
        self._window = window
        self._window_seconds = window_seconds
        self._connection = open_to_write(path)
        try:
            self._calls = StoredCalls([path, *reuse])
        except StoreError:
            self._connection.close()
            raise
        self._pending: dict[bytes, _Entry] = {}
        self._writing: dict[bytes, _Entry] = {}
        self._changed = threading.Condition()
        self._error: StoreError | None = None
        self._hurry = False
        self._closing = False
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="call-store", daemon=True)
        self._writer.start()

    def get(self, key: bytes) -> Completion | None:
        """The stored completion, this run's or a reused run's (which is copied into this one). Raises StoreError."""
        with self._changed:
            entry = self._pending.get(key) or self._writing.get(key)
        if entry:
            return entry.row.completion()
        found = self._calls.find(key)
        if not found:
            return None
        place, row = found
        if place:
            self._enqueue(key, _Entry(row, reused=True))
        return row.completion()

    def put(self, key: bytes, stage: Stage, model: str, completion: Completion, seconds: float = 0.0) -> None:
        """Store a completion, soon; the first one of a key stays. Raises StoreError, also for an earlier failure."""
        self._enqueue(key, _Entry(to_row(stage, model, completion, seconds), reused=False))

    def flush(self) -> None:
        """Wait until everything put so far is on disk. Raises StoreError."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or not (self._pending or self._writing))
            if self._error:
                raise self._error

    def totals(self) -> Totals:
        """Counts and sums over the whole run folder, after a flush. Reads every row's head: once a run, not once a call."""
        self.flush()
        made, reused, prompt, cached, completion, seconds = read(self.path, self._connection, _TOTALS) or (0,) * 6
        return Totals(made, reused, Usage(prompt, cached, completion), seconds)

    def close(self) -> None:
        """Flush and close. Safe to call twice. Raises StoreError when the last calls could not be written."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._writer.join()
            self._calls.close()
            self._connection.close()

    def _enqueue(self, key: bytes, entry: _Entry) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._error or len(self._pending) < BACKLOG * self._window)
            if self._closed:
                raise StoreError(f"{self.path}: is closed; put calls before close")
            if self._error:
                raise self._error
            self._pending.setdefault(key, entry)
            if len(self._pending) == 1 or len(self._pending) == self._window:
                self._changed.notify_all()

    def _write(self) -> None:
        """The writer thread. Whatever stops it is told to every caller, so that nobody waits for a dead thread."""
        try:
            while self._take():
                self._commit()
        except Exception as error:
            with self._changed:
                self._error = explain(self.path, error)
                self._changed.notify_all()

    def _take(self) -> bool:
        """Wait for a window's worth of records and make them the ones being written; False when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            full = lambda: len(self._pending) >= self._window or self._hurry or self._closing  # noqa: E731
            self._changed.wait_for(full, self._window_seconds)
            self._writing, self._pending = self._pending, {}
            return bool(self._writing)

    def _commit(self) -> None:
        rows = [
            (key, e.row.stage, e.row.model, e.reused, e.row.seconds, *e.row[3:]) for key, e in self._writing.items()
        ]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_INSERT, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            _roll_back(self._connection)
            raise
        with self._changed:
            self._writing = {}
            self._hurry = self._hurry and bool(self._pending)
            self._changed.notify_all()


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
