"""One pass over a dataset: a few numbers of every row, and a sample of rows as they stand.

A row takes about 70 bytes and its scores 16 each, whatever its texts; texts are held of the sample alone.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from constitution.errors import Problem, UserError
from critics.text.control_tokens import divides_turns
from evaluation.verify import marks
from evaluation.verify.columns import FIELDS, Layout, recognize
from evaluation.verify.rows import Pair, Unlabelled, read
from evaluation.verify.settings import VerifySettings
from generation.data.mapping import columns
from generation.data.message import Told
from generation.data.record import BadRow, Record
from generation.data.source import RUN, Source, source

HEAD = 500
"""First rows by which columns are recognized."""
MOST_SPLITS = 100
"""Names of splits that are told apart."""
BAD = 5
"""Rows that are no pairs, of which the reason is kept."""
(
    CONTROL, CONTROL_ASKED, GARBLED, FAILED, TWICE, DOUBLED, EMPTY, SAME, CUT_CHOSEN, CUT_REJECTED, ECHO_CHOSEN,
    ECHO_REJECTED,
) = (1 << i for i in range(12))  # fmt: skip
"""Bits of what is seen in a row's texts."""
Ints = NDArray[np.int64]
_UNSCORED = ((float("nan"), float("nan")),)
_SHORT = 12
"""Characters of a prompt that a response may well begin with."""
_NEAR = 64
"""Characters within which a response that holds its prompt begins with it."""
_PLAIN = bytes(byte if byte >= 128 or chr(byte).isalnum() else 32 for byte in bytes(range(256)).lower())
"""Of each byte, its letter in lower case; a space in place of punctuation."""


@dataclass(slots=True)
class Numbers:
    """What is held of every pair: an array each."""

    number: array[int] = field(default_factory=lambda: array("q"))
    split: array[int] = field(default_factory=lambda: array("b"))
    prompt: array[int] = field(default_factory=lambda: array("q"))
    """Hash of the prompt without case, punctuation and white space; 0 where there is none."""
    chosen: array[int] = field(default_factory=lambda: array("q"))
    rejected: array[int] = field(default_factory=lambda: array("q"))
    chosen_size: array[int] = field(default_factory=lambda: array("i"))
    """Characters."""
    rejected_size: array[int] = field(default_factory=lambda: array("i"))
    marks: array[int] = field(default_factory=lambda: array("i"))
    listed: array[int] = field(default_factory=lambda: array("b"))
    """1 where the chosen one is listed first, 0 where it is not, -1 where nobody knows."""
    asked: array[int] = field(default_factory=lambda: array("b"))

    def of(self, name: str) -> Ints:
        """One of them as an array of numpy."""
        found: array[int] = getattr(self, name)
        return np.frombuffer(found, dtype=found.typecode) if len(found) else np.zeros(0, dtype=found.typecode)


@dataclass(slots=True)
class Scan:
    """A dataset that was read once."""

    name: str
    layout: Layout
    splits: list[str]
    """Names of the splits; empty where there are none."""
    numbers: Numbers
    scores: dict[str, tuple[array[float], array[float]]]
    """Measure -> the scores of chosen and rejected, as long as the pairs."""
    margins: dict[str, array[float]]
    sample: list[Pair]
    bad: Counter[str]
    """Reason -> rows that are no pairs for it."""
    first_bad: list[str]
    unlabelled: int
    rows: int
    notes: list[str]

    @property
    def pairs(self) -> int:
        """Labelled pairs."""
        return len(self.numbers.number)

    def has(self, mark: int) -> NDArray[np.bool_]:
        """Which pairs have a mark."""
        found: NDArray[np.bool_] = (self.numbers.of("marks") & mark) != 0
        return found

    def places(self, which: NDArray[np.bool_] | Iterable[int], most: int = 3) -> tuple[str, ...]:
        """The first of some pairs, as `split:row`."""
        at = np.flatnonzero(which)[:most] if isinstance(which, np.ndarray) and which.dtype == bool else [*which][:most]
        split, number = self.numbers.of("split"), self.numbers.of("number")
        return tuple(self.place(int(split[i]), int(number[i])) for i in at)

    def place(self, split: int, number: int) -> str:
        """A row as it is named."""
        name = self.splits[split]
        return f"{name}:{number}" if name else f"row {number}"


def scan(settings: VerifySettings) -> Scan:
    """Read every row once. Raises UserError where nothing can be read."""
    data = _source(settings)
    head: list[Record] = []
    splits = list(data.splits.items())
    opened = [(name, iter(islice(make(), settings.limit))) for name, make in splits]
    streams: list[tuple[str, Iterator[Record]]] = []
    for name, records in opened:
        first = [*islice(records, HEAD)]
        head += first
        streams.append((name, chain(first, records)))
    rows = [record.row for record in head if not isinstance(record.row, BadRow)]
    layout = recognize(settings.dataset, settings.columns, rows)
    found = _Reading(Scan(
        settings.dataset, layout, [], Numbers(), {name: (array("d"), array("d")) for name, _, _ in layout.scores},
        {name: array("d") for name, _ in layout.margins}, [], Counter(), [], 0, 0, list(data.notes),
    ), settings)  # fmt: skip
    if (
        not layout.scores
        and "responses" in layout.fields
        and ("scores" in layout.fields or "chosen" not in layout.fields)
    ):
        found.scan.scores["scores"] = (array("d"), array("d"))
    for name, stream in streams:
        found.read(name, stream)
    if not found.scan.pairs:
        named = layout.fields.get("winner") or layout.fields.get("scores") or "its scores"
        got = (
            f"calls neither response better in any of {found.scan.rows:,} rows (by {named})"
            if found.scan.unlabelled
            else ("holds no labelled pair" if found.scan.rows else "has no rows")
        )
        problems = [Problem(settings.dataset, "", got, "rows of which one response is called better")]
        raise UserError([*problems, *(Problem(one) for one in found.scan.first_bad)])
    return found.scan


def _source(settings: VerifySettings) -> Source:
    """The splits of what is named; of a run's folder, those of its preferences. Raises UserError."""
    spec = settings.dataset
    path = Path(spec).expanduser()
    if all((path / name).is_file() for name in RUN):
        spec = str(path / "data" / "preferences")
    return source(spec, columns(FIELDS, settings.columns).read)


class _Reading:
    """Adds rows to a scan."""

    def __init__(self, found: Scan, settings: VerifySettings) -> None:
        self.scan = found
        self._told = Told()
        self._size = settings.sample
        self._draw = random.Random(settings.seed)
        self._splits = dict[str, int]()
        self._column = found.layout.fields.get("split")

    def read(self, name: str, records: Iterator[Record]) -> None:
        """All rows of a split."""
        found, layout = self.scan, self.scan.layout
        split = self._split(name) if self._column is None else 0
        for number, record in enumerate(records, 1):
            found.rows += 1
            if self._column is not None:
                split = self._split(_named(record, self._column))
            try:
                for pair in read(record, layout, split, number, self._told):
                    self._add(pair)
            except Unlabelled:
                found.unlabelled += 1
            except BadRow as error:
                self._bad(error.reason, str(error.at(record.place)))
            except Exception as error:  # nobody knows what a row can hold; whatever it is, the others go on
                self._bad("bad_row", f"{record.place}: cannot be read ({type(error).__name__}: {str(error)[:200]})")

    def _split(self, name: str) -> int:
        """The split's number; beyond MOST_SPLITS they are one."""
        if name not in self._splits and len(self._splits) < MOST_SPLITS:
            self._splits[name] = len(self._splits)
            self.scan.splits.append(name)
        return self._splits.get(name, MOST_SPLITS - 1)

    def _bad(self, reason: str, words: str) -> None:
        self.scan.bad[reason] += 1
        if len(self.scan.first_bad) < BAD:
            self.scan.first_bad.append(words)

    def _add(self, pair: Pair) -> None:
        found, numbers = self.scan, self.scan.numbers
        numbers.number.append(pair.number)
        numbers.split.append(pair.split)
        numbers.prompt.append(hash(folded(pair.prompt)) if pair.prompt else 0)
        numbers.chosen.append(hash(pair.chosen.strip()))
        numbers.rejected.append(hash(pair.rejected.strip()))
        numbers.chosen_size.append(len(pair.chosen))
        numbers.rejected_size.append(len(pair.rejected))
        numbers.marks.append(marked(pair))
        numbers.listed.append(-1 if pair.listed_first is None else pair.listed_first)
        numbers.asked.append(-1 if pair.asked_first is None else pair.asked_first)
        for (one, other), (better, worse) in zip(found.scores.values(), pair.scores or _UNSCORED, strict=False):
            one.append(better)
            other.append(worse)
        for kept, margin in zip(found.margins.values(), pair.margins, strict=True):
            kept.append(margin)
        if len(found.sample) < self._size:
            found.sample.append(pair)
        elif (place := int(self._draw.random() * found.pairs)) < self._size:
            found.sample[place] = pair


def _named(record: Record, column: str) -> str:
    """The split that a row says it is of."""
    return "" if isinstance(record.row, BadRow) else str(record.row.get(column))[:60]


def folded(text: str) -> bytes:
    """A text without case, punctuation and white space: what is alike but for these is the same."""
    words = (text if text.isascii() else text.lower()).encode("utf-8", "surrogatepass").translate(_PLAIN).split()
    return b" ".join(words) or text.encode("utf-8", "surrogatepass")


def marked(pair: Pair) -> int:
    """The bits of what is seen in a pair's texts."""
    chosen, rejected, given = pair.chosen, pair.rejected, pair.given
    found = 0
    if divides_turns(chosen) or divides_turns(rejected):
        found |= CONTROL
    if divides_turns(pair.prompt):
        found |= CONTROL_ASKED
    if marks.is_garbled(chosen) or marks.is_garbled(rejected):
        found |= GARBLED
    if marks.is_failure(chosen) or marks.is_failure(rejected):
        found |= FAILED
    if pair.twice:
        found |= TWICE
    elif len(given) >= _SHORT:
        found |= _echoes(chosen, rejected, given.strip())
    if len(given) > 40 and _is_doubled(given):
        found |= DOUBLED
    if not chosen or not rejected or chosen.isspace() or rejected.isspace():
        found |= EMPTY
    if chosen[:3] == rejected[:3] and abs(len(chosen) - len(rejected)) < 20 and chosen.split() == rejected.split():
        found |= SAME
    if pair.cut:
        found |= CUT_CHOSEN * pair.cut[0] | CUT_REJECTED * pair.cut[1]
    return found


def _echoes(chosen: str, rejected: str, asked: str) -> int:
    """Which responses begin with the prompt."""
    end = len(asked) + _NEAR
    one, other = chosen.find(asked, 0, end) >= 0, rejected.find(asked, 0, end) >= 0
    return TWICE if one and other else ECHO_CHOSEN if one else ECHO_REJECTED if other else 0


def _is_doubled(text: str) -> bool:
    """Whether a text is the same twice."""
    second = text.find(text[:40].strip(), 40)
    return second > 0 and text[second:].strip() == text[:second].strip()
