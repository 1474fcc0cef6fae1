"""What judges say of pairs under each wording of each principle, on one scale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from constitution.records import VIOLATION, Vote
from critics.methods import METHODS
from evaluation.statistics import Floats

Pair = tuple[str, str, str]
"""(prompt id, a, b)"""


@dataclass(frozen=True, slots=True)
class Said:
    """Votes on the same pairs, in the same order, of every wording and voter."""

    pairs: tuple[Pair, ...]
    votes: Mapping[str, Mapping[str, Floats]]
    """Id of a wording -> voter (judge and method) -> [pairs] the vote in [-1, 1], free of position bias; NaN for none."""
    inconsistent: Mapping[str, Floats]
    """Id of a wording -> [pairs] share of its voters that chose the same position twice; NaN where none could."""
    longer: Floats
    """[pairs] 1 where a is longer, -1 where b is, 0 where they are equal."""
    labelled: bool
    """a is the better one of every pair."""

    def of(self, wording: str) -> Floats:
        """[pairs] the mean vote of all voters; NaN where none voted."""
        rows = [*self.votes.get(wording, {}).values()]
        if not rows:
            return np.full(len(self.pairs), np.nan)
        return _mean(rows)


def said(votes: Iterable[Vote], pairs: Sequence[Pair], longer: Sequence[float], labelled: bool) -> Said:
    """Votes as arrays. A voter's votes are divided by their usual size, so that methods of other scales count alike."""
    place = {pair: i for i, pair in enumerate(pairs)}
    values: defaultdict[str, dict[str, Floats]] = defaultdict(dict)
    turned: defaultdict[str, list[Floats]] = defaultdict(list)
    seen: dict[tuple[str, str], Floats] = {}
    for vote in votes:
        i = place.get((vote.prompt_id, vote.a, vote.b))
        if i is None or vote.method == VIOLATION:
            continue
        voter = f"{vote.judge}/{vote.method}"
        if voter not in values[vote.principle]:
            values[vote.principle][voter] = np.full(len(pairs), np.nan)
            seen[vote.principle, voter] = np.full(len(pairs), np.nan)
            turned[vote.principle].append(seen[vote.principle, voter])
        values[vote.principle][voter][i] = vote.value
        if vote.method in METHODS and METHODS[vote.method].pairwise:
            seen[vote.principle, voter][i] = float(vote.logit_ab * vote.logit_ba > 0)
    sizes = _sizes(values)
    scaled = {name: {voter: np.tanh(row / sizes[voter]) for voter, row in of.items()} for name, of in values.items()}
    inconsistent = {name: _mean(rows) for name, rows in turned.items()}
    return Said(tuple(pairs), scaled, inconsistent, np.asarray(longer, dtype=float), labelled)


def _sizes(values: Mapping[str, Mapping[str, Floats]]) -> dict[str, float]:
    """Voter -> the median size of its votes under a middling principle."""
    of: defaultdict[str, list[float]] = defaultdict(list)
    for rows in values.values():
        for voter, row in rows.items():
            known = np.abs(row[~np.isnan(row)])
            if known.size:
                of[voter].append(float(np.median(known)))
    return {voter: max(float(np.median(sizes)), 1e-9) for voter, sizes in of.items()}


def _mean(rows: Sequence[Floats]) -> Floats:
    stacked = np.stack(rows)
    counts = (~np.isnan(stacked)).sum(0)
    found: Floats = np.where(counts > 0, np.nansum(stacked, 0) / np.maximum(counts, 1), np.nan)
    return found
