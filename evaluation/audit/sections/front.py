"""Two objectives that want different responses: what every mixture of their weights would make of the same pairs.

A label is the sign of the weighted mean of the objectives' scores, as `objectives:` of a constitution sets it. So a point of the
front is had again by these weights: `solon evaluate diff RUN CONSTITUTION` counts a run's votes anew by them, without a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STEPS = 21
"""Mixtures, from the first objective alone to the second alone."""


class Point(NamedTuple):
    """One mixture."""

    weights: tuple[float, float]
    """Of both objectives; they sum to 1."""
    agrees: tuple[float, float]
    """Share of pairs in which each objective prefers what the mixture does; a tie of the mixture is half."""


def front(scores: Sequence[tuple[float, float]]) -> list[Point]:
    """Mixtures that no other one beats in both objectives (Pareto), by the second's weight; the first of equals.

    scores: of both objectives in each pair, none of them 0. Empty without pairs.
    """
    if not scores:
        return []
    values = np.array(scores)
    points = []
    for step in range(STEPS):
        second = step / (STEPS - 1)
        weights = np.array([1 - second, second])
        same = np.sign(values @ weights)[:, None] * np.sign(values)
        a, b = (0.5 + 0.5 * same).mean(axis=0)
        points.append(Point((float(weights[0]), float(weights[1])), (float(a), float(b))))
    firsts = {point.agrees: point for point in reversed(points)}
    kept = [point for point in firsts.values() if not any(_beats(other.agrees, point.agrees) for other in points)]
    return sorted(kept, key=lambda point: point.weights[1])


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]
