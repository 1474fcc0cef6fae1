"""Figures of judges and policies with their 95% intervals.

Shares have Wilson's interval (1927). Everything else is resampled: percentile bootstrap over prompts (Efron 1979), several rows
of one prompt together. Accuracy and calibration are of log-odds for the response that the label calls better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are first used
from numpy.typing import NDArray

from critics.ranking.intervals import wilson
from critics.ranking.weights import Estimate, Quality

Floats = NDArray[np.float64]

BINS = 10
"""Bins of confidence for ECE: equal widths over [0, 1] (Guo et al. 2017, arXiv:1706.04599)."""
RESAMPLES = 2_000
TAILS = (2.5, 97.5)
_BLOCK = 2_000_000
"""Weights held in memory at a time."""


class Cell(NamedTuple):
    """Which prompt a row is of, and which seed."""

    prompt: Hashable
    seed: int


def resampled(
    statistic: Callable[[Floats], Floats],
    rows: int,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Floats:
    """[resamples, ...]: the statistic of each resample.

    statistic: from [k, rows], how often each of k resamples holds each row, to [k, ...]. clusters: which prompt each row is of;
    left out, each row is its own. Where they are Cells, prompts and seeds are drawn by themselves, and a row counts as often as its
    prompt times as often as its seed (two-way bootstrap of Owen 2007, arXiv:0712.1111: never too narrow by the rows themselves, but
    few seeds say little of all seeds). At least one row.
    """
    ways = _ways(rows, clusters)
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK // max(1, rows))
    parts = []
    for start in range(0, resamples, size):
        weights = np.ones((min(size, resamples - start), rows))
        for group in ways:
            groups = int(group.max()) + 1
            weights *= generator.multinomial(groups, np.full(groups, 1 / groups), size=len(weights))[:, group]
        parts.append(statistic(weights[weights.sum(1) > 0]))
    return np.concatenate(parts)


def interval(values: Floats, value: float) -> Estimate:
    """The middle 95% of the resampled values around the value of all rows. Resamples without a value (NaN) are left out."""
    known = values[~np.isnan(values)]
    if not known.size or np.isnan(value):
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    low, high = np.percentile(known, TAILS)
    return Estimate(value=value, low=float(low), high=float(high))


def share(hits: float, n: int) -> Estimate:
    """hits / n with Wilson's 95% interval; a tie counts as half a hit."""
    low, high = wilson(hits, n)
    return Estimate(value=hits / n if n else float("nan"), low=low, high=high)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b with a 95% interval from those of both (Newcombe 1998, method 10; Zou and Donner 2008): as if they were of different
    prompts, so that for the same prompts it is rather too wide.
    """
    down, up = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
    value = a.value - b.value
    return Estimate(value=value, low=value - down, high=value + up)


def accuracy(logits: Floats) -> Estimate:
    """Share of pairs in which the better response has the higher odds; NaN (no vote) and 0 are ties."""
    return share(float((logits > 0).sum() + 0.5 * (~(np.abs(logits) > 0)).sum()), len(logits))


def reliability(logits: Floats) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, pairs) of each bin of confidence that holds any."""
    confidence, right = _confidence(logits)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        (float(confidence[place == b].mean()), float(right[place == b].mean()), int((place == b).sum()))
        for b in range(BINS)
        if (place == b).any()
    ]


def ece(logits: Floats) -> float:
    """Expected calibration error: mean |confidence - accuracy| over the bins, by their pairs."""
    return sum(abs(c - a) * n for c, a, n in reliability(logits)) / max(1, len(logits))


def nll(logits: Floats) -> float:
    """Mean negative log-likelihood of the label, in nats."""
    return float(np.logaddexp(0, -np.nan_to_num(logits)).mean()) if len(logits) else float("nan")


def quality(logits: Floats) -> Quality:
    """The three figures that a file of weights carries."""
    return Quality(accuracy=accuracy(logits), ece=ece(logits), nll=nll(logits))


def coverage(logits: Floats, points: int = 20) -> list[tuple[float, float]]:
    """(share of pairs kept, accuracy among them), keeping the most confident first."""
    ordered = np.nan_to_num(logits)[np.argsort(-np.abs(np.nan_to_num(logits)), kind="stable")]
    sizes = sorted({max(1, round(len(ordered) * k / points)) for k in range(1, points + 1)})
    return [(n / len(ordered), accuracy(ordered[:n]).value) for n in sizes]


def mcnemar(a: Floats, b: Floats) -> tuple[int, int, float]:
    """(pairs only a has right, pairs only b has right, two-sided exact p): McNemar's test on the discordant pairs."""
    only_a, only_b = int(((a > 0) & ~(b > 0)).sum()), int(((b > 0) & ~(a > 0)).sum())
    n = only_a + only_b
    return only_a, only_b, min(1.0, 2 * float(scipy.special.bdtr(min(only_a, only_b), n, 0.5))) if n else 1.0


def _confidence(logits: Floats) -> tuple[Floats, Floats]:
    clean = np.nan_to_num(logits)
    right: Floats = np.where(clean > 0, 1.0, np.where(clean < 0, 0.0, 0.5))
    return 1 / (1 + np.exp(-np.abs(clean))), right


def _numbered(clusters: Sequence[Hashable]) -> NDArray[np.intp]:
    """Clusters as numbers from 0, in the order they come: the same resamples whatever they are called."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)


def prompts_of(clusters: Sequence[Hashable]) -> list[Hashable]:
    """The prompt of each row, of several seeds too."""
    return [cluster.prompt if isinstance(cluster, Cell) else cluster for cluster in clusters]


def _ways(rows: int, clusters: Sequence[Hashable] | None) -> list[NDArray[np.intp]]:
    """What is drawn by itself: which of it each row is of."""
    if clusters is None:
        return [np.arange(rows)]
    seeds = [cluster.seed for cluster in clusters if isinstance(cluster, Cell)]
    return [_numbered(prompts_of(clusters)), *([_numbered(seeds)] if seeds else [])]
