"""Every model call on disk, by the key of its content. A kill loses at most one commit window.

SQLite with a write-ahead log and full synchronisation; one writer thread commits many records at once (group commit,
DeWitt et al. 1984). The file must not live on a network file system: the log's index is shared memory.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from constitution.errors import Problem, UserError
from constitution.records import Stage
from generation.engines.base import CallError, Completion, ErrorReason, Usage

APPLICATION_ID = 0x534F4C4E
"""Marks a database as ours ("SOLN")."""
VERSION = 4
"""Raise it when the meaning of a stored completion changes. Since 4 a label's log-probability in a server's list is of all its
spellings; since 3 log-probabilities are of logits in float32, and errors are of the request alone."""
BUSY_SECONDS = 10.0
"""How long another program may hold the file before that is an error."""
BACKLOG = 16
"""How many windows may wait for the disk before `put` does too: bounds memory when the disk is slower than the model."""

_CREATE = f"""
CREATE TABLE calls (
    key BLOB PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, reused INTEGER NOT NULL, seconds REAL NOT NULL,
    prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, record BLOB NOT NULL
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_INSERT = f"INSERT OR IGNORE INTO calls VALUES ({', '.join('?' * 9)})"
_TOTALS = """
SELECT coalesce(sum(NOT reused), 0), coalesce(sum(reused), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
       coalesce(sum(completion_tokens), 0), coalesce(sum(CASE WHEN reused THEN 0 ELSE seconds END), 0.0)
FROM calls
"""
_COLUMNS = "stage, model, seconds, prompt_tokens, cached_tokens, completion_tokens, record"
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StoreError(UserError):
    """The calls cannot be read or written; the message names the file and the fix."""

    def __init__(self, what: str | Problem | Iterable[Problem]) -> None:
        super().__init__(Problem("", got=what) if isinstance(what, str) else what)


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
        """The completion, equal to the one that was stored. Raises StoreError for a record that is none."""
        try:
            fields: dict[str, Any] = json.loads(self.record.decode("utf-8", "surrogatepass"))
            scores, error = tuple(fields.pop("scores", ())), fields.pop("error", None)
            return Completion(
                **fields,
                scores=scores,
                error=CallError(ErrorReason(error[0]), error[1]) if error else None,
                usage=Usage(self.prompt_tokens, self.cached_tokens, self.completion_tokens),
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as wrong:
            raise StoreError(
                f"a stored call is damaged ({wrong}); move the file away and its calls are made again"
            ) from None


def to_row(stage: str, model: str, completion: Completion, seconds: float) -> Row:
    """What is stored of a call. Raises ValueError for an error that is not the request's own: it may pass, and must not stay."""
    error = completion.error
    if error and not error.reason.of_request:
        raise ValueError(f"{error.reason}: is no fact about the request, so the engine raises it as a RefusedError")
    fields: dict[str, Any] = {"text": completion.text, "finish": completion.finish, "logprobs": completion.logprobs}
    if error:
        fields["error"] = error
    if completion.scores:
        fields["scores"] = completion.scores
    if completion.floor is not None:
        fields["floor"] = completion.floor
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
                found = _read(path, connection, f"SELECT {_COLUMNS} FROM calls WHERE key = ?", key)
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
        self._connection = _open_to_write(path)
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
        made, reused, prompt, cached, completion, seconds = _read(self.path, self._connection, _TOTALS) or (0,) * 6
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
                self._error = _explain(self.path, error)
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


def _open_to_write(path: Path) -> sqlite3.Connection:
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
        raise _explain(path, error) from None
    return connection


def _read(path: Path, connection: sqlite3.Connection, sql: str, *values: bytes) -> tuple[Any, ...] | None:
    """The first row of an answer. Raises StoreError."""
    try:
        row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
    except sqlite3.Error as error:
        raise _explain(path, error) from None
    return row


def _explain(path: Path, error: Exception) -> StoreError:
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
        raise _explain(path, error) from None


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
    return _read(path, connection, "SELECT 1 FROM sqlite_master LIMIT 1") is None
