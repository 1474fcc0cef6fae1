"""Which few of many principles say most about labelled pairs: greedy forward selection by held-out likelihood.

The model is the one by which a constitution votes: a sum of the principles' votes with positive weights, no intercept. Weights are
the most likely ones under an L2 penalty. A principle is taken while it adds to the likelihood of pairs outside the fold that it
was fitted on; the list ends at the smallest size within one standard error of the best (Breiman et al. 1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from critics.ranking.weights import Estimate
from evaluation.judge.fitting import folds, most_likely
from evaluation.statistics import Floats, accuracy

FOLDS = 5
PENALTY = 2.0
"""L2 penalty of a vote scaled to unit size: some hundred pairs."""
LEAST = 0.01
"""Nats a pair that a longer list must gain."""
SAME = 0.95
"""Correlation of votes from which one of two principles is enough."""


class Chosen(NamedTuple):
    """A list of principles."""

    places: tuple[int, ...]
    """Columns, in the order in which they were taken."""
    weights: Floats
    """[chosen] what each vote counts, all above 0."""


class Measured(NamedTuple):
    """How good a list is on pairs that played no part in choosing or weighing it."""

    chosen: Estimate
    """Accuracy of lists, each chosen and weighed without the fold that it is measured on."""
    whole: Estimate
    """The same of all principles, weighed alike but not chosen."""


def choose(votes: Floats, groups: Sequence[str], most: int, seed: int = 0) -> Chosen:
    """At most so many columns of votes [pairs, principles] for the better response; NaN is no vote."""
    rows, scale = _scaled(votes)
    cuts = folds(groups, FOLDS, seed)
    alike = rows.T @ rows > SAME * len(rows)  # each with itself too
    taken: list[int] = []
    path: list[Floats] = [np.full(len(rows), np.log(2.0))]
    while len(taken) < min(most, rows.shape[1]):
        others = [k for k in range(rows.shape[1]) if not any(alike[k, j] for j in taken)]
        options = {k: _held_out(rows[:, [*taken, k]], cuts) for k in others}
        sound = {k: losses for k, (losses, positive) in options.items() if positive}
        best = min(sound, key=lambda k: float(sound[k].mean()), default=-1)
        if best < 0 or sound[best].mean() >= path[-1].mean():
            break
        losses = sound[best]
        taken.append(best)
        path.append(losses)
    taken = taken[: _smallest(path)]
    if not taken:
        return Chosen((), np.zeros(0))
    return Chosen(tuple(taken), most_likely(rows[:, taken], PENALTY) / scale[taken])


def measure(votes: Floats, groups: Sequence[str], most: int, seed: int = 0) -> Measured:
    """Choose anew without each fold, and judge that fold by what was chosen."""
    logits = np.zeros((2, len(votes)))
    for train, test in folds(groups, FOLDS, seed + 1):
        inside = [groups[i] for i in train]
        found = choose(votes[train], inside, most, seed) if len(set(inside)) >= FOLDS else Chosen((), np.zeros(0))
        if found.places:
            logits[0, test] = np.nan_to_num(votes[np.ix_(test, found.places)]) @ found.weights
        rows, scale = _scaled(votes[train])
        logits[1, test] = np.nan_to_num(votes[test]) @ (most_likely(rows, PENALTY) / scale)
    return Measured(*(accuracy(row) for row in logits))


def _scaled(votes: Floats) -> tuple[Floats, Floats]:
    """(votes of unit size with 0 for none, [principles] what they were divided by)."""
    rows = np.nan_to_num(votes)
    scale: Floats = np.maximum(np.sqrt((rows**2).mean(0)), 1e-9)
    return rows / scale, scale


def _smallest(path: Sequence[Floats]) -> int:
    """How many to keep: the fewest whose loss is within one standard error of the best's."""
    best = min(range(len(path)), key=lambda i: float(path[i].mean()))
    for size in range(best):
        gap = path[size] - path[best]
        if gap.mean() <= max(LEAST, gap.std(ddof=1) / np.sqrt(len(gap))):
            return size
    return best


def _held_out(rows: Floats, cuts: Sequence[tuple[list[int], list[int]]]) -> tuple[Floats, bool]:
    """([pairs] loss of each outside the fold it was fitted on, whether every weight is positive when all are fitted)."""
    losses = np.zeros(len(rows))
    for train, test in cuts:
        losses[test] = np.logaddexp(0, -rows[test] @ most_likely(rows[train], PENALTY))
    return losses, bool((most_likely(rows, PENALTY) > 0).all())
