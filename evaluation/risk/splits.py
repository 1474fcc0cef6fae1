"""What a rule would have come to: the threshold from one half of the labelled pairs, the error seen in the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from critics.ranking.kinds import Test
from evaluation.risk.thresholds import labels_by, loosest, rank_steps, step_scales
from evaluation.statistics import Floats

DRAWS = 500
"""Ways to halve the pairs."""


class SplitCheck(NamedTuple):
    """Means over the halvings."""

    accepted: float
    """Share of the other half that is accepted."""
    error: float
    """Share of those that is wrong; 0 where none is accepted."""
    exceeded: float
    """Share of halvings in which more than the stated error is wrong."""
    none: float
    """Share of halvings in which the labels show it of no threshold, and nothing is accepted."""


def halves(
    logits: Floats,
    error: float,
    confidence: float | None,
    test: Test = "mid-p",
    draws: int | None = None,
    seed: int = 0,
) -> SplitCheck:
    """logits: [pairs] or [pairs, steps of a cascade] for the better response, each by a fit that did not see the pair.

    draws: DRAWS where None, a fifth of that for a cascade.
    """
    generator = np.random.default_rng(seed)
    clean = np.nan_to_num(logits).reshape(len(logits), -1)
    draws = draws or (DRAWS if clean.shape[1] == 1 else DRAWS // 5)
    figures = []
    for _ in range(draws):
        order = generator.permutation(len(clean))
        known, other = clean[order[: len(clean) // 2]], clean[order[len(clean) // 2 :]]
        scales = step_scales(known)
        said = labels_by(other / scales, loosest(rank_steps(known / scales), error, confidence, test).least)
        taken = said != 0
        wrong = float((said[taken] < 0).mean()) if taken.any() else 0.0
        figures.append((taken.mean(), wrong, wrong > error, not taken.any()))
    return SplitCheck(*(float(value) for value in np.mean(figures, axis=0)))
