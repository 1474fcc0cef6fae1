"""What every voter did over a whole run: how sure, how biased, how often position-inconsistent, and with whom it agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from constitution.records import voter_name
from critics.methods import METHODS
from evaluation.statistics import Floats
from generation.output.reading import tables

ORDERED = tuple(name for name, method in METHODS.items() if method.pairwise)
"""Judging methods that see two responses in an order; the others cannot prefer a place."""
PIECE = 1 << 16
"""Votes that are counted at once."""
_VOTER = ("judge", "method", "principle")
_COLUMNS = ("prompt_id", "a", "b", *_VOTER, "vote", "bias", "position_inconsistent")


Voter = tuple[str, str, str]
"""(judge, method, principle)"""


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
    seen: Counter[Voter] = Counter()
    for table in tables(path, _VOTER):
        for row in table.group_by(_VOTER).aggregate([([], "count_all")]).to_pylist():
            seen[row["judge"], row["method"], row["principle"]] += row["count_all"]
    known = sorted(seen)
    n = len(known)
    votes, strength, bias, abs_bias, position_inconsistent = (np.zeros(n) for _ in range(5))
    both, same = np.zeros((n, n)), np.zeros((n, n))
    for table in _whole_prompts(path):
        voter = pc.index_in(_joined(table, _VOTER), pa.array(["\0".join(key) for key in known])).to_numpy()
        vote, lean = table["vote"].to_numpy(), table["bias"].to_numpy()
        votes += np.bincount(voter, minlength=n)
        strength += np.bincount(voter, np.abs(vote), n)
        bias += np.bincount(voter, lean, n)
        abs_bias += np.bincount(voter, np.abs(lean), n)
        position_inconsistent += np.bincount(voter, table["position_inconsistent"].to_numpy(), n)
        pair = pc.dictionary_encode(_joined(table, ("prompt_id", "a", "b"))).combine_chunks().indices.to_numpy()
        sides = np.zeros((pair.max() + 1, n))
        sides[pair, voter] = np.sign(vote)
        takes = np.abs(sides)
        both += takes.T @ takes
        same += (takes.T @ takes + sides.T @ sides) / 2
    ordered = np.array([method in ORDERED for _, method, _ in known], dtype=bool)
    return Voters(
        tuple(known), short_names(known), ordered, votes, strength, bias, abs_bias, position_inconsistent, both, same
    )


def short_names(voters: Sequence[Voter]) -> tuple[str, ...]:
    """The principles, where they alone tell the voters apart; else the voter's whole name."""
    principles = [principle for _, _, principle in voters]
    if len(set(principles)) == len(principles):
        return tuple(principles)
    return tuple(voter_name(*voter) for voter in voters)


def _joined(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(table[name] for name in names), "\0")


def _whole_prompts(path: Path) -> Iterator[pa.Table]:
    """The votes in pieces that no prompt's votes are divided between."""
    rest: pa.Table | None = None
    for piece in tables(path, _COLUMNS, PIECE):
        table = piece if rest is None else pa.concat_tables([rest, piece])
        last = pc.equal(table["prompt_id"], table["prompt_id"][-1])
        rest = table.filter(last)
        whole = table.filter(pc.invert(last))
        if whole.num_rows:
            yield whole
    if rest is not None and rest.num_rows:
        yield rest
