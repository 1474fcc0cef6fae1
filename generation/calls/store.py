"""Every model call on disk, by the key of its content. A kill loses at most one commit window.

SQLite with a write-ahead log and full synchronisation; one writer thread commits many records at once (group commit,
DeWitt et al. 1984). The file must not live on a network file system: the log's index is shared memory.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from generation.calls.asked import digests, pack
from generation.calls.database import StoreError, damaged, explain, open_to_write, roll_back
from generation.calls.reading import SUMMED, StoredCalls, Totals, in_sql, totals
from generation.calls.record import Row, checksum, to_row
from generation.engines.base import Completion, Request, Unkept, Usage

BACKLOG = 16
"""How many windows may wait for the disk before `put` does too: bounds memory when the disk is slower than the model."""

KNOWN = 50_000
"""How many texts are remembered as stored, so that they are not compressed again: those of the pairs judged now, and some."""

CHECKED_FIRST = 200_000
"""Most calls of a file whose checksums are all looked at as it is opened, in two seconds. Of more, each is looked at as it is read,
and all by `check`."""

_KEY_BYTES = 16

_INSERT = f"INSERT OR IGNORE INTO calls (key, reused, {SUMMED}) VALUES ({', '.join('?' * (3 + len(Row._fields)))})"
_INSERT_TEXT = "INSERT OR IGNORE INTO texts VALUES (?, ?)"
_INSERT_OUTCOME = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)"
_COUNTED = in_sql(["", "forgotten", *Unkept])
_RAW = ", ".join(f"CAST({name} AS BLOB)" if kind is str else name for name, kind in get_type_hints(Row).items())
"""What goes into a checksum. As bytes, a text that is no text any more is read too."""
_FORGET = f"""
UPDATE calls SET key = randomblob(16), failed = 'forgotten', checksum = checksum({_RAW.replace("failed", "'forgotten'")})
WHERE failed NOT IN ({_COUNTED})
"""
"""Under another key a call is found no more, and what it took is still counted."""
_DAMAGED = f"FROM calls WHERE checksum IS NOT checksum({_RAW})"


@dataclass(frozen=True, slots=True)
class _Entry:
    row: Row
    reused: bool
    texts: Mapping[bytes, str | bytes]
    """What it asked, where that is not stored yet: by digest, as text or as on disk."""


class CallStore:
    """Calls by key. `get` sees what `put` was given at once; `flush` waits until it is on disk.

    One process writes, the run folder's lock sees to that; others may read.
    """

    def __init__(
        self,
        path: Path,
        window: int = 256,
        window_seconds: float = 0.05,
        *,
        reuse: Sequence[Path] = (),
        forget_failed: bool = False,
        forget_damaged: bool = False,
    ) -> None:
        """Open or create. A commit waits for `window` records or `window_seconds`. `reuse` are other runs' files.

        forget_failed: True to make calls again that came to an error or to nothing. forget_damaged: those whose checksum is wrong;
        without it they are a StoreError. Raises StoreError when a file cannot be used.
        """
        self.path = path
        self._window = window
        self._window_seconds = window_seconds
        self._forget_failed = forget_failed
        self._connection = open_to_write(path)
        try:
            self._connection.create_function("checksum", -1, checksum, deterministic=True)
            if forget_damaged:
                self._connection.execute(f"DELETE {_DAMAGED}")
            elif (self._connection.execute("SELECT max(rowid) FROM calls").fetchone()[0] or 0) <= CHECKED_FIRST:
                self._check()
            if forget_failed:
                self._connection.execute(_FORGET)
            self._calls = StoredCalls([path, *reuse])
        except sqlite3.Error as error:
            self._connection.close()
            raise explain(path, error) from None
        except StoreError:
            self._connection.close()
            raise
        self._known: set[bytes] = set()
        self._settled: dict[str, tuple[bytes, bytes]] = {}
        self._outcomes: dict[str, tuple[bytes, bytes]] = {}
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
            if row.failed and self._forget_failed:
                return None
            texts = {name: body for name in self._new(digests(row.asked)) if (body := self._calls.text(place, name))}
            self._enqueue(key, _Entry(row, True, texts))
        return row.completion()

    def put(self, key: bytes, request: Request, completion: Completion, seconds: float = 0.0) -> None:
        """Store a completion, soon; the first one of a key stays. Raises StoreError, also for an earlier failure."""
        row, texts = to_row(request, completion, seconds)
        self._enqueue(key, _Entry(row, False, {name: texts[name] for name in self._new(texts)}))

    def put_unkept(self, request: Request, usage: Usage, why: Unkept) -> None:
        """Count a call that was paid and whose answer nobody will ask for again. Raises StoreError, also for an earlier failure."""
        row, texts = to_row(request, Completion("", usage=usage), 0.0)
        entry = _Entry(row._replace(failed=str(why)), False, {name: texts[name] for name in self._new(texts)})
        self._enqueue(os.urandom(_KEY_BYTES), entry)

    def outcome(self, prompt: str, state: bytes, place: int = 0) -> bytes | None:
        """What came of a prompt in this state, in this file or, from place 1 on, in one that is reused. Raises StoreError."""
        return self._calls.outcome(prompt, state, place)

    def has_outcome(self, state: bytes, prompt: str | None = None) -> bool:
        """Whether what came of a prompt in this state, or of any prompt, is on disk. Raises StoreError."""
        return self._calls.has_outcome(state, prompt)

    def put_outcome(self, prompt: str, state: bytes, body: bytes) -> None:
        """Keep what came of a prompt, with the next calls that are written, never before its own. Nothing is lost without it."""
        with self._changed:
            self._outcomes[prompt] = (state, body)

    def flush(self) -> None:
        """Wait until everything put so far is on disk. Raises StoreError."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or not (self._pending or self._writing))
            if self._error:
                raise self._error

    def check(self) -> None:
        """Look at the checksum of every call that is on disk. Raises StoreError."""
        self.flush()
        try:
            self._check()
        except sqlite3.Error as error:
            raise explain(self.path, error) from None

    def _check(self) -> None:
        if found := self._connection.execute(f"SELECT count(*) {_DAMAGED}").fetchone()[0]:
            raise damaged(self.path, found)

    def totals(self) -> Totals:
        """Counts and sums over the whole run folder, after a flush. Reads every row's head: once a run, not once a call."""
        self.flush()
        return totals(self.path, self._connection)

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

    def _new(self, names: Iterable[bytes]) -> list[bytes]:
        """Those that are not stored yet, as far as is remembered. From now on they are."""
        if len(self._known) > KNOWN:
            self._known.clear()
        new = [name for name in names if name not in self._known]
        self._known.update(new)
        return new

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
            self._settled, self._outcomes = self._outcomes, {}
            return bool(self._writing or self._settled)

    def _commit(self) -> None:
        entries = self._writing.values()
        texts = {name: text for entry in entries for name, text in entry.texts.items()}
        bodies = [(name, pack(text) if isinstance(text, str) else text) for name, text in texts.items()]
        rows = [(key, entry.reused, *entry.row, checksum(*entry.row)) for key, entry in self._writing.items()]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_INSERT_TEXT, bodies)
            self._connection.executemany(_INSERT, rows)
            self._connection.executemany(_INSERT_OUTCOME, [(p, *kept) for p, kept in self._settled.items()])
            self._connection.execute("COMMIT")
        except BaseException:
            roll_back(self._connection)
            raise
        with self._changed:
            self._writing = {}
            self._hurry = self._hurry and bool(self._pending)
            self._changed.notify_all()
