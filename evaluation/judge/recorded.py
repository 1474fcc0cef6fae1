"""Recorded votes: a file of what judges once said, read into matrix."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from constitution.errors import Problem, Problems, UserError, invalid, problems_of, suggest
from constitution.records import Strict
from constitution.words import word_count
from critics.verdict import clearly, verdict
from evaluation.judge.labelled import LabelledPair
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.settings import WinnerOrder
from generation.data.conversation import name as name_of
from generation.data.mapping import columns
from generation.data.record import BadRow
from generation.data.source import source

CERTAIN = 1e-6
"""Probabilities are kept this far from 0 and 1, so that log-odds are finite."""
CLEARLY = 2.0
"""Log-odds of a verdict that one response is much better, where one that it is better has 1; the fit scales both."""
MOST_PROBLEMS = 20
"""Rows with a problem that are named before reading ends."""
NAMES = ("pair", "judge", "method", "subset")
"""Fields that name something, which a file may do with numbers."""
SAME_PLACE = 0.6
"""Share of a file's winners, without texts, that chose one place in both orders, above which `winner` is likely meant the other
way: a judge of that kind would be no judge."""


class RecordedVote(Strict):
    """One line: one judge's answer on one pair in one order."""

    pair: str
    """Name of the pair, the same in all rows on it."""
    judge: str
    """Name of the judge."""
    method: str = ""
    """How the judge was asked; empty where there is one way."""
    swapped: bool
    """True when the file's second response was listed first to the judge."""
    text: str | None = None
    """What the judge wrote; or `p`; or `winner` alone."""
    p: float | None = Field(default=None, ge=0, le=1)
    """Probability the judge gave the first-listed response."""
    label: Literal["1", "2"] | None = None
    """Which of the file's responses is better; in all lines, or in none where voters are weighed by how they agree."""
    winner: Literal["1", "2"] | None = None
    """What was read in the judge's answer; null or `tie` for neither. By the response's place in the pair, or as listed to the
    judge (`--winner`). Beside a text it is only compared with."""
    subset: str = ""
    """Group of pairs that gets an accuracy of its own."""

    @field_validator("label", "winner", mode="before")
    @classmethod
    def _digits(cls, value: object, info: ValidationInfo) -> object:
        if info.field_name == "winner" and isinstance(value, str) and value.lower() == "tie":
            return None
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _one_answer(self) -> RecordedVote:
        if self.text is not None and self.p is not None:
            raise invalid("has both text and p", "one of the two")
        if self.text is None and self.p is None and "winner" not in self.model_fields_set:
            raise invalid("has neither text nor p nor winner", "one of them")
        return self

    @property
    def voter(self) -> str:
        """`judge/method`."""
        return f"{self.judge}/{self.method}" if self.method else self.judge

    def log_odds(self, order: WinnerOrder) -> float | None:
        """Of the first-listed response: from p, or of size 1 for words or a winner, CLEARLY for `[[A>>B]]`; None for no verdict."""
        if self.p is not None:
            p = min(max(self.p, CERTAIN), 1 - CERTAIN)
            return math.log(p / (1 - p))
        if self.text is None:
            chosen = self.place(order)
            return None if chosen is None else 1.0 if (chosen == "1") != self.swapped else -1.0
        found = verdict(self.text)
        size = CLEARLY if clearly(self.text) else 1.0
        return None if found is None else size if found == "first" else -size

    def place(self, order: WinnerOrder) -> Literal["1", "2"] | None:
        """The winner's place in the pair."""
        if order == "pair" or not self.swapped or self.winner is None:
            return self.winner
        return "2" if self.winner == "1" else "1"


FIELDS = tuple(RecordedVote.model_fields)
_OTHER: Mapping[WinnerOrder, WinnerOrder] = {"pair": "listed", "listed": "pair"}
_MEANS: Mapping[WinnerOrder, str] = {"pair": "the place in the pair", "listed": "the place as listed to the judge"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A text that we read otherwise than the file's own parser did."""

    line: int
    """Of the file, from 1."""
    ours: str
    """1, 2 or none, in the file's order."""
    recorded: str
    """1 or 2, as the file has it."""
    text: str
    """What the judge wrote."""


@dataclass(slots=True)
class ParsingSummary:
    """How a file was read, and how that compares with the recorded reading of its texts."""

    labelled: bool = True
    """Whether it says which responses are better."""
    texts: int = 0
    """Answers that were read."""
    unread: int = 0
    """Texts without a verdict."""
    recorded: int = 0
    """Texts for which the file names a winner."""
    agreed: int = 0
    """Of those, the ones that were read as the file says."""
    order: WinnerOrder = "pair"
    """How the file's winners were taken."""
    agreed_otherwise: int = 0
    """Texts that were read as the file says, had its winners been taken the other way."""
    differing: list[Difference] = field(default_factory=list)
    """The others."""

    def add(self, line: int, row: RecordedVote, z: float | None) -> None:
        """Count one text, read as these log-odds."""
        ours = "none" if z is None else "1" if (z > 0) != row.swapped else "2"
        theirs = row.place(self.order)
        self.texts += 1
        self.unread += z is None
        self.recorded += theirs is not None
        self.agreed += ours == theirs
        self.agreed_otherwise += ours == row.place(_OTHER[self.order])
        if theirs not in (None, ours):
            self.differing.append(Difference(line, ours, theirs or "", row.text or ""))

    def winner_warning(self, matrix: VoteMatrix) -> str:
        """What is said where `winner` is likely meant the other way; empty where it is not. matrix: the votes of the file."""
        other = _OTHER[self.order]
        here, there, mend = _MEANS[self.order], _MEANS[other], f"read so with --winner {other}"
        if self.agreed_otherwise > self.agreed:
            better, worse = (f"{count / self.recorded:.1%}" for count in (self.agreed_otherwise, self.agreed))
            return (
                f"`winner` goes with {better} of the texts when it means {there}, and with {worse} when it means {here}, as here: "
                f"{mend}; votes come from the texts either way"
            )
        same = matrix.inconsistent
        if self.texts or np.isnan(same).all() or np.nanmean(same) <= SAME_PLACE:
            return ""
        return f"{np.nanmean(same):.1%} of the votes chose one place in both orders; if `winner` means {there}, {mend}"


def read_recorded(
    spec: str | Path,
    labels: bool = True,
    mapped: Iterable[str] = (),
    tell: Callable[[str], object] | None = None,
    order: WinnerOrder = "pair",
) -> tuple[VoteMatrix, ParsingSummary]:
    """(matrix of the voters `judge/method`, how the file was read). Raises UserError.

    mapped: `FIELD=COLUMN` of columns with other names. tell: is given what a user should know of the rows, a line at a time. order:
    what `winner` counts by.
    Several answers of one voter in one order are averaged. labels: they must be there. Without, the file's first response of each
    pair stands for the better one.
    """
    cells: defaultdict[tuple[str, str, bool], list[float]] = defaultdict(list)
    better: dict[str, str] = {}
    subsets: dict[str, str] = {}
    judges: dict[str, str] = {}
    parsing = ParsingSummary(order=order)
    found = _rows(str(spec), labels, mapped, tell)
    parsing.labelled = found[0][1].label is not None
    for place, row in found:
        pair = row.pair
        better[pair] = row.label or "1"
        subsets[pair] = subsets.get(pair) or row.subset
        z = row.log_odds(order)
        if row.text is not None:
            parsing.add(int(place.rpartition(":")[2]), row, z)
        # the cell is there even without a verdict: so is the voter
        cell = cells[pair, row.voter, (better[pair] == "1") != row.swapped]
        if z is not None:
            cell.append(z)
        judges[row.voter] = row.judge
    return _matrix(cells, better, subsets, judges), parsing


def described(matrix: VoteMatrix, labelled: Sequence[LabelledPair]) -> VoteMatrix:
    """The same matrix with what the pairs' own file knows of them: subset, prompt, which response is longer. Raises UserError."""
    known = {pair.id: pair for pair in labelled}
    found = [known.get(name) for name in matrix.pairs]
    if not any(found):
        got = f"names none of the votes' pairs (as {matrix.pairs[0]!r})"
        raise UserError(Problem("--subsets", got=got, fix="give its rows the `id` that is the votes' `pair`"))
    return replace(
        matrix,
        groups=tuple(pair.group if pair else name for name, pair in zip(matrix.pairs, found, strict=True)),
        subsets=tuple(pair.subset if pair else old for old, pair in zip(matrix.subsets, found, strict=True)),
        longer=np.array([_longer(pair) if pair else np.nan for pair in found]),
    )


def _longer(pair: LabelledPair) -> float:
    return float(np.sign(word_count(pair.better.text) - word_count(pair.worse.text)))


def _matrix(
    cells: Mapping[tuple[str, str, bool], Sequence[float]],
    labels: Mapping[str, str],
    subsets: Mapping[str, str],
    judges: Mapping[str, str],
) -> VoteMatrix:
    pairs, voters = tuple(labels), tuple(sorted({voter for _, voter, _ in cells}))
    row, column = ({name: i for i, name in enumerate(names)} for names in (pairs, voters))
    first, second = (np.full((len(pairs), len(voters)), np.nan) for _ in range(2))
    for (pair, voter, listed_first), values in cells.items():
        if values:
            (first if listed_first else second)[row[pair], column[voter]] = sum(values) / len(values)
    return VoteMatrix(
        pairs,
        voters,
        first,
        second,
        groups=pairs,
        subsets=tuple(subsets[pair] for pair in pairs),
        recorded_first=np.array([float(labels[pair] == "1") for pair in pairs]),
        longer=np.full(len(pairs), np.nan),
        judges=tuple(judges[voter] for voter in voters),
    )


def two_orders(matrix: VoteMatrix, path: str | Path) -> tuple[VoteMatrix, int]:
    """(the voters that were asked about some pair in both orders, how many others there are). Raises UserError for none.

    A voter that saw each pair in one order only has no vote that is free of position bias.
    """
    kept = ~np.isnan(matrix.votes).all(0) | (np.isnan(matrix.better_first) & np.isnan(matrix.better_second)).all(0)
    if np.isnan(matrix.votes).all():
        raise UserError(
            Problem(
                str(path),
                "swapped",
                "no voter has a verdict on a pair in both orders",
                "true and false for each pair and voter",
                "record what was said with the responses swapped too",
            )
        )
    return matrix.only(kept.tolist()), int((~kept).sum())


def _rows(
    spec: str, labels: bool, mapped: Iterable[str], tell: Callable[[str], object] | None
) -> list[tuple[str, RecordedVote]]:
    """(place, row) of all rows. Raises UserError with their problems, at most MOST_PROBLEMS."""
    fields = columns(FIELDS, mapped)
    records, notes = source(spec, fields.read).one()
    problems = Problems()
    rows: list[tuple[str, RecordedVote]] = []
    known: dict[str, str | None] = {}
    seen = dict[str, None]()
    for record in records():
        if len(problems.found) >= MOST_PROBLEMS:
            break
        try:
            if isinstance(record.row, BadRow):
                raise record.row
            seen |= dict.fromkeys(record.row)
            row = RecordedVote.model_validate(_fields(fields.split(record.row)[0]))
        except BadRow as error:
            problems.found.append(error.at(record.place))
            continue
        except ValidationError as error:
            problems.found += problems_of(error, RecordedVote, record.place)
            continue
        rows.append((record.place, row))
        _check_label(rows, known, labels, problems)
    if not rows and not problems.found:
        fix = "each row needs pair, judge, swapped, label and one of text, p and winner"
        problems.add(spec, got="holds no votes", fix=fix)
    if rows or seen:
        with problems.collect():
            fields.check(spec, seen, ())
    problems.check()
    unread = [f"{name}{suggest(name, FIELDS)}" for name in sorted(seen.keys() - fields.read)]
    if tell:
        for note in (*notes, *([f"columns not read: {', '.join(unread)}"] if unread else [])):
            tell(f"{spec}: {note}")
    return rows


def _check_label(
    rows: list[tuple[str, RecordedVote]], known: dict[str, str | None], labels: bool, problems: Problems
) -> None:
    """Note where the last row's label does not go with the others. known: pair -> its label above, which is added to."""
    (place, row), (above, first) = rows[-1], rows[0]
    label = known.setdefault(row.pair, row.label)
    if row.label is None and (labels or first.label is not None):
        allowed = (
            "1 or 2, or none in the whole file with a --method of agreement and without --weights, --page and --versus"
        )
        problems.add(place, "label", "is missing", allowed)
    elif first.label is None and row.label is not None and not labels:
        line = above.rpartition(":")[2]
        problems.add(place, "label", f"got {row.label}, and line {line} has none", fix="give all or none")
    elif label != row.label:
        got = f"got {row.label} for pair {row.pair}, which was {label} above"
        problems.add(place, "label", got, "one label a pair")


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nulls, its names as text. A winner that is null stays: neither won."""
    return {
        key: name_of(value) if key in NAMES and isinstance(value, int | float) else value
        for key, value in row.items()
        if value is not None or key == "winner"
    }
