"""Log-probabilities of a judge's one-token answers, read as a number or as the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MIN_MASS = 1e-3
"""Least probability the labels must hold together; below it the judge answered something else."""

MISSING, NOT_FINITE, OFF_MENU = "verdict_missing", "verdict_nan", "verdict_off_menu"
"""Reasons why there is no verdict: a label has no log-probability, it is not finite, the labels hold less than MIN_MASS."""


def probabilities(logprobs: Mapping[str, float], labels: Sequence[str]) -> list[float] | str:
    """Each label's share of what the labels hold together, or the reason why there is no verdict."""
    if any(label not in logprobs for label in labels):
        return MISSING
    if not all(math.isfinite(logprobs[label]) for label in labels):
        return NOT_FINITE
    top = max(logprobs[label] for label in labels)
    shares = [math.exp(logprobs[label] - top) for label in labels]
    total = math.fsum(shares)
    if math.exp(top) * total < MIN_MASS:
        return OFF_MENU
    return [share / total for share in shares]


def log_odds(logprobs: Mapping[str, float], labels: tuple[str, str]) -> float | str:
    """Log-odds of the first label over the second, or the reason why there is no verdict."""
    found = probabilities(logprobs, labels)
    return found if isinstance(found, str) else logprobs[labels[0]] - logprobs[labels[1]]


def clamped(z: float, low: float, high: float) -> float:
    """Log-odds whose probability is kept within [low, high]."""
    return min(max(z, math.log(low / (1 - low))), math.log(high / (1 - high)))
