"""95% intervals by the percentile bootstrap over prompts (Efron 1979): several rows of one prompt are drawn together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from critics.ranking.weights import Estimate

Floats = NDArray[np.float64]

RESAMPLES = 2_000
TAILS = (2.5, 97.5)
_BLOCK = 2_000_000
"""Weights held in memory at a time."""


def resampled(
    statistic: Callable[[Floats], Floats],
    rows: int,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Floats:
    """[resamples, ...]: the statistic of each resample.

    statistic: from [k, rows], how often each of k resamples holds each row, to [k, ...]. clusters: which prompt each row is of;
    left out, each row is its own. At least one row.
    """
    group = np.arange(rows) if clusters is None else _numbered(clusters)
    groups = int(group.max()) + 1
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK // max(1, rows))
    parts = []
    for start in range(0, resamples, size):
        drawn = generator.multinomial(groups, np.full(groups, 1 / groups), size=min(size, resamples - start))
        parts.append(statistic(drawn[:, group].astype(np.float64)))
    return np.concatenate(parts)


def interval(values: Floats, value: float) -> Estimate:
    """The middle 95% of the resampled values around the value of all rows. Resamples without a value (NaN) are left out."""
    known = values[~np.isnan(values)]
    if not known.size or np.isnan(value):
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    low, high = np.percentile(known, TAILS)
    return Estimate(value=value, low=float(low), high=float(high))


def _numbered(clusters: Sequence[Hashable]) -> NDArray[np.intp]:
    """Clusters as numbers from 0, in the order they come: the same resamples whatever they are called."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)
