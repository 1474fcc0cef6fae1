"""The index of a finished run: finds pairs by a filter, in an order, and opens one."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from constitution.records import Critique, Dropped, Failure, Vote
from generation.output import reading
from generation.output.dataset import split_path
from generation.output.manifest import Manifest, read, whole
from generation.output.reading import Candidate, Pair
from studio.data import schema
from studio.data.build import Progress, build
from studio.data.filters import PairFilter, PairQuery

T = TypeVar("T", Candidate, Critique, Vote)

KEPT = 4
"""Answers to filters that are remembered."""
LISTED = 200
"""Values of a facet that are offered."""
FAILURE = "kind, prompt_id, stage, reason, detail, subject"


class Listed(NamedTuple):
    """A pair in a list. Its texts are beginnings, of at most SHOWN characters."""

    number: int
    split: str
    row: int
    prompt_id: str
    chosen_id: str
    rejected_id: str
    p: float
    margin: float
    against: float
    flips: float
    prompt: str
    chosen: str
    rejected: str


class Found(NamedTuple):
    """A page of what was looked for."""

    total: int
    pairs: list[Listed]


class Count(NamedTuple):
    """A value and how many have it."""

    value: str
    pairs: int


class Index:
    """Of one run, for any number of threads. Numbers of pairs count from 0, those of the train split first."""

    def __init__(self, run: Path, manifest: Manifest, path: Path) -> None:
        """path: the index's file. Raises sqlite3.Error."""
        self.run = run
        self.manifest = manifest
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[PairFilter, str], NDArray[np.int32]] = OrderedDict()
        self._arrays: dict[str, NDArray[np.float32]] = {}
        self.pairs = int(self._one("SELECT count(*) FROM pairs")[0])

    def find(self, query: PairQuery) -> Found:
        """A page of the pairs that a filter leaves, in order."""
        numbers = self.numbers(query.filter, query.sort)
        start = (query.page - 1) * query.size
        return Found(len(numbers), self.listed(numbers[start : start + query.size]))

    def numbers(self, filter: PairFilter, sort: str = "number") -> NDArray[np.int32]:
        """[found] numbers of all pairs that a filter leaves, in order; `-` before a sort's name turns it round."""
        key = filter, sort
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        kept = self._kept(filter)
        name = sort.removeprefix("-")
        order = self._order(name)
        found = order if kept is None else order[kept[order]]
        found = found[::-1] if sort.startswith("-") else found
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return found

    def listed(self, numbers: Sequence[int] | NDArray[np.int32]) -> list[Listed]:
        """Pairs by their numbers, in that order."""
        wanted = [int(number) for number in numbers]
        marks = ", ".join("?" * len(wanted))
        rows = self._rows(f"SELECT {', '.join(Listed._fields)} FROM pairs WHERE number IN ({marks})", *wanted)
        by_number = {row[0]: Listed(*row) for row in rows}
        return [by_number[number] for number in wanted if number in by_number]

    def values(self, name: str) -> NDArray[np.float32]:
        """[pairs] a number of each pair, by its name in NUMBERS."""
        with self._lock:
            if name not in self._arrays:
                pieces = [row[0] for row in self._rows("SELECT body FROM numbers WHERE name = ? ORDER BY rowid", name)]
                self._arrays[name] = np.frombuffer(b"".join(pieces), dtype=np.float32)
            return self._arrays[name]

    def having(self, facet: str, value: str) -> NDArray[np.int32]:
        """Numbers of the pairs that have a value, ascending."""
        sql = "SELECT body FROM postings WHERE facet = ? AND value = ? ORDER BY rowid"
        return np.frombuffer(b"".join(row[0] for row in self._rows(sql, facet, value)), dtype=np.int32)

    def counts(self, facet: str, most: int = LISTED) -> list[Count]:
        """Values of a facet and their pairs, the most frequent first."""
        sql = "SELECT value, pairs FROM facets WHERE facet = ? ORDER BY pairs DESC, value LIMIT ?"
        return [Count(*row) for row in self._rows(sql, facet, most)]

    def pair(self, number: int) -> Pair | None:
        """A pair whole, from the run's own file; None where there is none of that number."""
        found = self.listed([number])
        if not found:
            return None
        path = self.run / split_path("preferences", found[0].split)
        return reading.read_pair(path, found[0].row, found[0].split)

    def pairs_of(self, prompt_id: str) -> list[Listed]:
        """The pairs of a prompt."""
        return self.listed([row[0] for row in self._rows("SELECT number FROM pairs WHERE prompt_id = ?", prompt_id)])

    def responses(self, prompt_id: str) -> list[Candidate]:
        """Every response to a prompt that could be compared."""
        return self._of_prompt(prompt_id, "responses.parquet", reading.read_candidates)

    def critiques(self, prompt_id: str) -> list[Critique]:
        """Every critique of a response to a prompt."""
        return self._of_prompt(prompt_id, "critiques.parquet", reading.read_critiques)

    def votes(self, prompt_id: str) -> list[Vote]:
        """Every vote on responses to a prompt."""
        return self._of_prompt(prompt_id, "votes.parquet", reading.read_votes)

    def call_rows(self, prompt_id: str) -> list[int]:
        """Rows of calls.sqlite that may be about a prompt: those of its checksum."""
        sql = "SELECT row FROM calls WHERE prompt = ? ORDER BY row"
        return [row[0] for row in self._rows(sql, crc32(prompt_id.encode("utf-8", "replace")))]

    def failures(self, prompt_id: str) -> list[Failure | Dropped]:
        """What failed or was dropped of a prompt."""
        sql = f"SELECT {FAILURE} FROM failures WHERE prompt_id = ? ORDER BY number"
        return [_failure(row) for row in self._rows(sql, prompt_id)]

    def failed(self, reason: str, text: str, start: int, size: int) -> tuple[int, list[Failure | Dropped]]:
        """(how many, some of) what failed or was dropped.

        reason: `stage: reason` or empty. text: what the prompt's id, the subject or the detail has, or empty.
        """
        where, values = ["1"], []
        if reason:
            where.append("stage = ? AND reason = ?")
            values += [*reason.partition(": ")[::2]]
        if text:
            where.append("(instr(detail, ?) OR instr(prompt_id, ?) OR instr(subject, ?))")
            values += [text] * 3
        condition = " AND ".join(where)
        total = self._one(f"SELECT count(*) FROM failures WHERE {condition}", *values)[0]
        sql = f"SELECT {FAILURE} FROM failures WHERE {condition} ORDER BY number LIMIT ? OFFSET ?"
        return total, [_failure(row) for row in self._rows(sql, *values, size, start)]

    def reasons(self) -> list[tuple[str, str, int]]:
        """(kind, `stage: reason`, how many) of what failed or was dropped, the most frequent first."""
        sql = "SELECT kind, stage || ': ' || reason, count(*) AS n FROM failures GROUP BY kind, stage, reason ORDER BY n DESC"
        return [(row[0], row[1], row[2]) for row in self._rows(sql)]

    def _of_prompt(self, prompt_id: str, name: str, read_from: Callable[[Path, int], Iterator[T]]) -> list[T]:
        found = [
            *self._rows("SELECT row FROM places WHERE prompt_id = ? AND file = ? ORDER BY row LIMIT 1", prompt_id, name)
        ]
        if not found:
            return []
        records = read_from(self.run / name, int(found[0][0]))
        return list(takewhile(lambda one: one.prompt_id == prompt_id, records))

    def _kept(self, filter: PairFilter) -> NDArray[np.bool_] | None:
        """[pairs] which a filter leaves; None for all."""
        kept: NDArray[np.bool_] | None = None
        for name, least, below in filter.limits:
            values = self.values(name)
            one = (values >= np.float32(least)) & (values < np.float32(below))
            kept = one if kept is None else kept & one
        for facet, value in filter.values:
            kept = self._and(kept, self.having(facet, value))
        for word in filter.words():
            kept = self._and_bits(kept, self._having_word(word))
        return np.zeros(self.pairs, np.bool_) if filter.text.strip() and not filter.words() else kept

    def _having_word(self, word: str) -> NDArray[np.bool_]:
        """[pairs] which have a word in one of their texts, or a beginning where it ends in `*`."""
        known = self._rows("SELECT body FROM frequent WHERE word = ?", word.lower()) if word.isascii() else iter(())
        for (body,) in known:
            return np.unpackbits(np.frombuffer(body, np.uint8), count=self.pairs).astype(np.bool_)
        match = f'"{word.rstrip("*")}"{"*" if word.endswith("*") else ""}'  # within quotes nothing is an operator
        # one text of all numbers is faster than a row for each
        (text,) = self._one("SELECT group_concat(rowid) FROM words WHERE words MATCH ?", match)
        bits = np.zeros(self.pairs, dtype=np.bool_)
        bits[np.fromstring(text or "", dtype=np.int32, sep=",")] = True
        return bits

    def _and(self, kept: NDArray[np.bool_] | None, numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        one = np.zeros(self.pairs, dtype=np.bool_)
        one[numbers] = True
        return self._and_bits(kept, one)

    def _and_bits(self, kept: NDArray[np.bool_] | None, one: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return one if kept is None else kept & one

    def _order(self, name: str) -> NDArray[np.int32]:
        if name == "number":
            return np.arange(self.pairs, dtype=np.int32)
        (body,) = self._one("SELECT body FROM orders WHERE name = ?", name)
        return np.frombuffer(body, dtype=np.int32)

    def _rows(self, sql: str, *values: object) -> Iterator[sqlite3.Row]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = schema.open_to_read(self._path)
        yield from connection.execute(sql, values)

    def _one(self, sql: str, *values: object) -> sqlite3.Row:
        return next(iter(self._rows(sql, *values)))


_opened: dict[str, Index] = {}
_opening = threading.Lock()


def index_of(run: Path, progress: Progress = lambda pairs: None) -> Index | None:
    """The index of a finished run, built where there is none yet; None where the run is not finished.

    progress: told the pairs so far, while it is built. Raises UserError for damaged files.
    """
    manifest = read(run)
    if manifest is None:
        return None
    at = run.resolve()  # several links may lead there
    with _opening:
        key = f"{at} {manifest.sha256}"
        if key not in _opened:
            _opened[key] = _open(at, whole(run), progress)
        return _opened[key]


def _open(run: Path, manifest: Manifest, progress: Progress) -> Index:
    path = schema.place(manifest.sha256)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(f"{path}.lock"):
        if path.exists():
            with suppress(sqlite3.Error):
                found = Index(run, manifest, path)
                os.utime(path)
                return found
        handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
        os.close(handle)
        try:
            build(Path(name), run, progress)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    schema.remove_old(path.parent, path)
    return Index(run, manifest, path)


def _failure(row: sqlite3.Row) -> Failure | Dropped:
    kind, *values = row
    return (Failure if kind == "failed" else Dropped)(*values)
