"""The calls of finished runs, or of one under way: read by key, or looked through by what they are about."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from generation.calls.asked import Asked, read
from generation.calls.database import StoreError, damaged, explain, is_empty, open_to_read, read_row
from generation.calls.record import Row, checksum
from generation.engines.base import Completion, Unkept, Usage

COLUMNS = ", ".join(Row._fields)
SUMMED = f"{COLUMNS}, checksum"
"""What `whole` takes."""


class Mean(NamedTuple):
    """What calls of one stage to one model take, each."""

    calls: int
    prompt: float
    cached: float
    completion: float


class StoredCalls:
    """The calls of one or several runs, read only. The first file that has a call answers for it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the files; a run that was killed before its first call has none. Raises StoreError."""
        self._files: list[tuple[Path, sqlite3.Connection]] = []
        try:
            for path in paths:
                self._files.append((path, open_to_read(path)))
        except StoreError:
            self.close()
            raise
        self._full = [not is_empty(path, connection) for path, connection in self._files]

    def find(self, key: bytes) -> tuple[int, Row] | None:
        """The call and the place of its file in the list. Raises StoreError."""
        for place, (path, connection) in enumerate(self._files):
            if self._full[place]:
                found = read_row(path, connection, f"SELECT {SUMMED} FROM calls WHERE key = ?", key)
                if found:
                    return place, whole(path, found)
        return None

    def get(self, key: bytes) -> Completion | None:
        """The stored completion. Raises StoreError."""
        found = self.find(key)
        return found[1].completion() if found else None

    def text(self, place: int, digest: bytes) -> bytes | None:
        """A text that a call of the file at that place asked, as it is on disk. Raises StoreError."""
        path, connection = self._files[place]
        found = read_row(path, connection, "SELECT body FROM texts WHERE digest = ?", digest)
        return bytes(found[0]) if found else None

    def outcome(self, prompt: str, state: bytes, place: int = 0) -> bytes | None:
        """What the file at that place keeps of a prompt's outcome in this state. Raises StoreError."""
        path, connection = self._files[place]
        if not self._full[place] and place:
            return None
        found = read_row(path, connection, "SELECT body FROM outcomes WHERE prompt = ? AND state = ?", prompt, state)
        return bytes(found[0]) if found else None

    def has_outcome(self, state: bytes, prompt: str | None = None) -> bool:
        """Whether the first file keeps an outcome in this state, of a prompt or of any. Raises StoreError."""
        path, connection = self._files[0]
        if prompt is None:
            return read_row(path, connection, "SELECT 1 FROM outcomes WHERE state = ? LIMIT 1", state) is not None
        sql = "SELECT 1 FROM outcomes WHERE prompt = ? AND state = ?"
        return read_row(path, connection, sql, prompt, state) is not None

    def asked(self, place: int, row: Row) -> Asked | None:
        """What a call of that file asked; None where it was not kept. Raises StoreError where its texts are damaged."""
        try:
            return read(row.asked, lambda digest: self.text(place, digest))
        except (zlib.error, ValueError, LookupError, TypeError, StopIteration):
            raise damaged(self._files[place][0], 1) from None

    def about(self, prompt: str) -> Iterator[tuple[bytes, Row]]:
        """Key and row of the first file's calls about a prompt, in the order in which they were stored. Raises StoreError."""
        yield from self._first(f"SELECT key, {SUMMED} FROM calls WHERE prompt = ? ORDER BY rowid", prompt)

    def places(self) -> Iterator[tuple[str, int]]:
        """Prompt and row of each of the first file's calls, for an index. Raises StoreError."""
        if self._full and self._full[0]:
            yield from _rows(*self._files[0], "SELECT prompt, rowid FROM calls ORDER BY rowid")

    def at(self, places: Sequence[int]) -> Iterator[tuple[bytes, Row]]:
        """Key and row of the first file's calls in these rows, as far as they are there. Raises StoreError."""
        for place in places:
            yield from self._first(f"SELECT key, {SUMMED} FROM calls WHERE rowid = ?", place)

    def named(self, prefix: str) -> Iterator[tuple[bytes, Row]]:
        """Key and row of the first file's calls whose key begins so, in hexadecimal. Raises StoreError."""
        yield from self._first(f"SELECT key, {SUMMED} FROM calls WHERE hex(key) LIKE ? ORDER BY key", f"{prefix}%")

    def means(self) -> dict[tuple[str, str], Mean]:
        """(stage, model) -> what its answered calls took, each, where that was reported. Raises StoreError."""
        sums: dict[tuple[str, str], list[int]] = {}
        for place, (path, connection) in enumerate(self._files):
            if self._full[place]:
                for stage, model, *values in _rows(path, connection, _MEANS):
                    known = sums.setdefault((stage, model), [0, 0, 0, 0])
                    sums[stage, model] = [a + b for a, b in zip(known, values, strict=True)]
        return {
            key: Mean(calls, *(value / calls for value in values)) for key, (calls, *values) in sums.items() if calls
        }

    def totals(self, path: Path) -> Totals:
        """The calls of one of the files; none where it is not among them. Raises StoreError."""
        for place, (known, connection) in enumerate(self._files):
            if known == path and self._full[place]:
                return totals(path, connection)
        return Totals(0, 0, 0, Usage(), 0.0, {})

    def close(self) -> None:
        """Close the files."""
        for _, connection in self._files:
            connection.close()

    def _first(self, sql: str, value: str | int) -> Iterator[tuple[bytes, Row]]:
        if self._full and self._full[0]:
            for key, *values in _rows(*self._files[0], sql, value):
                yield key, whole(self._files[0][0], values)


def whole(path: Path, values: Sequence[Any]) -> Row:
    """A call as it was stored. values: its row and its checksum. Raises StoreError where they do not agree."""
    *row, stored = values
    if checksum(*row) != stored:
        raise damaged(path, 1)
    return Row._make(row)


class ModelTotals(NamedTuple):
    """The calls that a run made to one model, over all its restarts."""

    calls: int
    """Those whose answers are not kept, too."""
    direct: Usage
    batched: Usage = Usage(batched=True)
    """By the vendor's batch API."""


class Totals(NamedTuple):
    """All calls of a run, over all its restarts."""

    made: int
    reused: int
    """Calls taken from other runs."""
    unkept: int
    """Calls that were paid and whose answers are not kept."""
    tokens: Usage
    """Tokens of all of them, reused ones too."""
    seconds: float
    """Engine time of the calls that were made, summed; calls run side by side, so it exceeds the time on the clock."""
    models: dict[str, ModelTotals]
    """Digest of a model -> the calls made to it."""


def in_sql(values: Iterable[str]) -> str:
    """Words of our own as SQL lists them."""
    return ", ".join(f"'{value}'" for value in values)


_UNKEPT = f"failed IN ({in_sql(Unkept)})"
_REPORTED = "prompt_tokens + completion_tokens > 0"
_MEANS = f"""
SELECT stage, model, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens)
FROM calls WHERE {_REPORTED} AND NOT {_UNKEPT} GROUP BY stage, model
"""
_TOTALS = f"""
SELECT model, reused, batched, count(*), sum({_UNKEPT}), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens),
       sum(estimated_tokens), sum(seconds)
FROM calls GROUP BY model, reused, batched
"""


def totals(path: Path, connection: sqlite3.Connection) -> Totals:
    """Counts and sums over a file. Reads every row's head: once a run, not once a call. Raises StoreError."""
    made = reused = unkept = 0
    whole = Usage()
    seconds = 0.0
    models: dict[str, ModelTotals] = {}
    for model, taken, batched, count, lost, *tokens, took in _rows(path, connection, _TOTALS):
        prompt, cached, completion, estimated = tokens
        usage = Usage(prompt, cached, completion, estimated, bool(batched))
        whole = _sum(whole, usage)
        if taken:
            reused += count
            continue
        made, unkept, seconds = made + count - lost, unkept + lost, seconds + took
        known = models.get(model, ModelTotals(0, Usage()))
        own = {"batched" if batched else "direct": usage}
        models[model] = known._replace(calls=known.calls + count, **own)
    return Totals(made, reused, unkept, whole, seconds, models)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt + other.prompt,
        one.cached + other.cached,
        one.completion + other.completion,
        one.estimated + other.estimated,
    )


def _rows(path: Path, connection: sqlite3.Connection, sql: str, *values: str | int) -> Iterator[Any]:
    try:
        yield from connection.execute(sql, values)
    except sqlite3.Error as error:
        raise explain(path, error) from None
