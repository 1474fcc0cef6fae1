"""Several principles in one call against one call a principle: how often they agree, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from constitution.records import Failure, Strict, Vote
from critics.ranking.weights import Estimate
from evaluation.statistics import share


class BatchAgreement(Strict):
    """The same voters on the same pairs, asked in both ways."""

    principles: int
    """Most in one call."""
    votes: int
    """That both ways have."""
    same_side: Estimate
    """Share of these that take the same side; a tie of either counts half."""
    correlation: float | None
    """Pearson's, of the votes' log-odds; None where one way's votes are all alike."""
    calls: int
    """Model calls with several principles in one."""
    calls_single: int
    """With one principle a call."""


def batch_agreement(
    principles: int,
    batched: Sequence[Vote | Failure],
    single: Sequence[Vote | Failure],
    calls: int,
    calls_single: int,
) -> BatchAgreement:
    """Compare the votes of judges; rules are asked of nobody."""
    ways = [
        {(r.prompt_id, r.voter): r.value for r in records if isinstance(r, Vote) and r.judge}
        for records in (batched, single)
    ]
    both = [name for name in ways[0] if name in ways[1]]
    a, b = (np.array([way[name] for name in both]) for way in ways)
    hits = float(((np.sign(a) * np.sign(b) + 1) / 2).sum())
    varied = len(both) > 1 and bool(np.std(a)) and bool(np.std(b))
    return BatchAgreement(
        principles=principles,
        votes=len(both),
        same_side=share(hits, len(both)),
        correlation=float(np.corrcoef(a, b)[0, 1]) if varied else None,
        calls=calls,
        calls_single=calls_single,
    )
