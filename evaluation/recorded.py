"""Recorded votes: a file of what judges once said, read into ballots."""

from __future__ import annotations

import gzip
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from constitution.records import Strict
from critics.verdict import verdict
from evaluation.ballots import Ballots
from evaluation.inputs import InputError, explain

CERTAIN = 1e-6
"""Probabilities are kept this far from 0 and 1, so that log-odds are finite."""


class RecordedVote(Strict):
    """One line: one judge's answer on one pair in one order."""

    pair: str | int
    judge: str
    method: str = ""
    swapped: bool
    """True when the file's second reply was listed first to the judge."""
    text: str | None = None
    """What the judge wrote, or `p`."""
    p: float | None = Field(default=None, ge=0, le=1)
    """Probability the judge gave the first-listed reply."""
    label: Literal["1", "2"]
    """Which of the file's replies is better."""
    winner: Literal["1", "2"] | None = None
    """What another parser read in the text, in the file's order; only compared with."""
    subset: str = ""

    @field_validator("label", "winner", mode="before")
    @classmethod
    def _digits(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _one_answer(self) -> RecordedVote:
        if (self.text is None) == (self.p is None):
            raise ValueError("needs one of text and p")
        return self

    def log_odds(self) -> float | None:
        """Of the first-listed reply: from p, or +1 and -1 for a verdict in words; None for no verdict."""
        if self.p is not None:
            p = min(max(self.p, CERTAIN), 1 - CERTAIN)
            return math.log(p / (1 - p))
        found = verdict(self.text or "")
        return None if found is None else 1.0 if found == "first" else -1.0


@dataclass(slots=True)
class Parsing:
    """How our reading of the texts compares with the recorded one."""

    texts: int = 0
    unread: int = 0
    """Texts without a verdict."""
    recorded: int = 0
    """Texts for which the file names a winner."""
    agreed: int = 0
    differing: list[tuple[int, str, str, str]] = field(default_factory=list)
    """(line, our winner or "none", recorded winner, the text)."""


def read_recorded(path: Path) -> tuple[Ballots, Parsing]:
    """Ballots of the voters `judge/method`. Several answers of one voter in one order are averaged. Raises InputError."""
    cells: defaultdict[tuple[str, str, bool], list[float]] = defaultdict(list)
    labels: dict[str, str] = {}
    subsets: dict[str, str] = {}
    parsing = Parsing()
    for number, row in _rows(path):
        pair = str(row.pair)
        if labels.setdefault(pair, row.label) != row.label:
            raise InputError(f"{path}:{number}: label: got {row.label} for pair {pair}, which was {labels[pair]} before; allowed is one label a pair")
        subsets.setdefault(pair, row.subset)
        z = row.log_odds()
        if row.text is not None:
            _compare(parsing, number, row, z)
        voter = f"{row.judge}/{row.method}" if row.method else row.judge
        better_listed_first = (row.label == "1") != row.swapped
        cell = cells[pair, voter, better_listed_first]
        if z is not None:
            cell.append(z)
    return _ballots(cells, labels, subsets), parsing


def _ballots(cells: dict[tuple[str, str, bool], list[float]], labels: dict[str, str], subsets: dict[str, str]) -> Ballots:
    pairs, voters = tuple(labels), tuple(sorted({voter for _, voter, _ in cells}))
    row, column = ({name: i for i, name in enumerate(names)} for names in (pairs, voters))
    first, second = (np.full((len(pairs), len(voters)), np.nan) for _ in range(2))
    for (pair, voter, listed_first), values in cells.items():
        if values:
            (first if listed_first else second)[row[pair], column[voter]] = sum(values) / len(values)
    return Ballots(
        pairs,
        voters,
        first,
        second,
        groups=pairs,
        subsets=tuple(subsets[pair] for pair in pairs),
        recorded_first=np.array([float(labels[pair] == "1") for pair in pairs]),
        longer=np.full(len(pairs), np.nan),
    )


def _compare(parsing: Parsing, number: int, row: RecordedVote, z: float | None) -> None:
    ours = "none" if z is None else "1" if (z > 0) != row.swapped else "2"
    parsing.texts += 1
    parsing.unread += z is None
    if row.winner is None:
        return
    parsing.recorded += 1
    if ours == row.winner:
        parsing.agreed += 1
    else:
        parsing.differing.append((number, ours, row.winner, row.text or ""))


def _rows(path: Path) -> Iterator[tuple[int, RecordedVote]]:
    problems: list[str] = []
    read = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = RecordedVote.model_validate_json(line)
                except ValidationError as error:
                    problems.append(explain(error, f"{path}:{number}", RecordedVote))
                    if len(problems) == 20:
                        break
                    continue
                read += 1
                yield number, row
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error}); --votes takes JSONL, plain or .gz") from None
    if problems:
        raise InputError("\n".join(problems))
    if not read:
        raise InputError(f"{path}: holds no votes; allowed is one JSON object a line with pair, judge, swapped, label and text or p")
