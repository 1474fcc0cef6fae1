"""What every voter did over a whole run: how sure, how biased, how often position-inconsistent, and with whom it agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from constitution.records import voter_name
from critics.methods import METHODS
from evaluation.statistics import Floats
from generation.output.reading import Voter, count_voters, vote_columns


@dataclass(frozen=True, slots=True)
class Voters:
    """Sums over a run's votes. Arrays are [voters], or [voters, voters]."""

    keys: tuple[Voter, ...]
    names: tuple[str, ...]
    """As short as tells them apart."""
    ordered: NDArray[np.bool_]
    """Asked in two orders."""
    votes: Floats
    strength: Floats
    """Sum of |vote|."""
    bias: Floats
    """Sum of the position bias."""
    abs_bias: Floats
    position_inconsistent: Floats
    both: Floats
    """Pairs on which both voters take a side."""
    same: Floats
    """Of those, the ones on which they take the same side."""

    @property
    def agreement(self) -> Floats:
        """[voters, voters] share of `both` that is `same`; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            agreement: Floats = self.same / np.where(self.both > 0, self.both, np.nan)
        return agreement


def read_voters(run: Path) -> Voters:
    """One pass to name the voters, one to count. Raises UserError."""
    path = run / "votes.parquet"
    known = sorted(count_voters(path))
    n = len(known)
    votes, strength, bias, abs_bias, position_inconsistent = (np.zeros(n) for _ in range(5))
    both, same = np.zeros((n, n)), np.zeros((n, n))
    for piece in vote_columns(path, known):
        votes += np.bincount(piece.voter, minlength=n)
        strength += np.bincount(piece.voter, np.abs(piece.value), n)
        bias += np.bincount(piece.voter, piece.bias, n)
        abs_bias += np.bincount(piece.voter, np.abs(piece.bias), n)
        position_inconsistent += np.bincount(piece.voter, piece.position_inconsistent, n)
        sides = np.zeros((piece.pair.max() + 1, n))
        sides[piece.pair, piece.voter] = np.sign(piece.value)
        takes = np.abs(sides)
        both += takes.T @ takes
        same += (takes.T @ takes + sides.T @ sides) / 2
    ordered = np.array([_ordered(method) for _, method, _ in known], dtype=bool)
    return Voters(
        tuple(known), short_names(known), ordered, votes, strength, bias, abs_bias, position_inconsistent, both, same
    )


def short_names(voters: Sequence[Voter]) -> tuple[str, ...]:
    """The principles, where they alone tell the voters apart; else the voter's whole name."""
    principles = [principle for _, _, principle in voters]
    if len(set(principles)) == len(principles):
        return tuple(principles)
    return tuple(voter_name(*voter) for voter in voters)


def _ordered(method: str) -> bool:
    """True for a method that shows two responses in an order; the others, and rules, cannot prefer a place."""
    return method in METHODS and METHODS[method].pairwise
