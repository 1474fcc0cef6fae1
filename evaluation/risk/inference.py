"""A win rate by a judge, corrected by a few human labels.

Prediction-powered inference (Angelopoulos et al. 2023, arXiv:2301.09633) with a tuned weight (PPI++, arXiv:2311.01453): the labels
say how far the judge is off, the judge says how the labelled pairs differ from the others. How much the judge counts is estimated
too; with few labels that costs more than a weak judge brings, so its weight is shrunk (non-negative garrote, Breiman 1995), to
nothing where the labels do not show that it is worth anything. The interval is Wilson's for as many labels as the estimate is
worth, with the t quantile, and half a pair of each kind of disagreement is added, without which a few labels that all agree would
show a perfect judge. Beside it: Rogan and Gladen's correction (1978) by the judge's errors on the labelled pairs.

The labelled pairs have to be drawn at random from the judged ones. Outcomes are 1, 0, and 1/2 for a tie.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are first used
from pydantic import Field

from constitution.records import Strict
from critics.ranking.intervals import wilson
from critics.ranking.weights import Estimate
from evaluation.statistics import Floats, share

LEAST_LABELS = 20
"""Fewer labels than this support no claim."""
SHRINK = 2.5
"""Standard errors of the judge's weight under which it counts nothing."""
ADDED = 0.5
"""Pairs of each kind of disagreement that are added to the labelled ones."""
MOST_NEEDED = 100_000
"""More labels than this are not named as a number that would do."""
APART = 3.0
"""Standard errors by which the judge's rate on labelled pairs may differ from that on others, if they are drawn at random."""


class Corrected(Strict):
    """A's win rate as people see it, from few of their labels and the judge's verdicts on all pairs."""

    labels: int = Field(ge=1)
    """Pairs with a human label and a verdict of the judge."""
    judged: int = Field(ge=1)
    """Pairs with a verdict of the judge: those and the others."""
    judge: float
    """A's share by the judge alone, over all pairs."""
    human: Estimate
    """A's share by the labels alone."""
    value: Estimate
    """A's share, by labels and judge: prediction-powered."""
    weight: float
    """How much the judge counts in it, 0 to 1."""
    rogan_gladen: Estimate | None
    """A's share by the judge, corrected by its errors on the labelled pairs; None where its verdicts hardly depend on people's."""
    agreement: Estimate
    """Share of labelled pairs on which the judge says what people say."""
    worth: float
    """How many labels the judge's verdicts are worth here: more labels alone that would give as narrow an interval."""
    needed: int | None
    """Labels with which an estimate like this one would be a claim; None where that is more than can be named."""
    typical: bool
    """False where the judge's verdicts differ so much between labelled pairs and others that they were not drawn at random."""

    @property
    def claim(self) -> str:
        """`A` or `B` where one is shown to be better; empty where the labels do not show it."""
        if self.labels < LEAST_LABELS or not self.typical or self.value.low <= 0.5 <= self.value.high:
            return ""
        return "A" if self.value.value > 0.5 else "B"


class Powered(NamedTuple):
    """A prediction-powered mean."""

    value: float
    variance: float
    weight: float
    alone: float
    """Variance of the labels' own mean."""


def corrected(human: Floats, judged: Floats, others: Floats) -> Corrected:
    """human, judged: [labels] what people and the judge say of the labelled pairs. others: what the judge says of the rest."""
    n, every = len(human), np.concatenate([judged, others])
    found = powered(human, judged, others)
    value = interval(found.value, found.variance, n, n - 1 - (found.weight > 0))
    return Corrected(
        labels=n,
        judged=len(every),
        judge=float(every.mean()),
        human=interval(float(human.mean()), found.alone, n, n - 1),
        value=value,
        weight=found.weight,
        rogan_gladen=rogan_gladen(human, judged, others),
        agreement=share(float((human == judged).sum()), n),
        worth=max(0.0, n * (found.alone / found.variance - 1)) if found.weight and found.variance else 0.0,
        needed=_needed(value, n),
        typical=_typical(judged, others),
    )


def powered(human: Floats, judged: Floats, others: Floats) -> Powered:
    """The mean of what people would say of all pairs. At least two labels."""
    n, rest = len(human), len(others)
    alone = float(human.var(ddof=1)) / n if n > 1 else math.nan
    y, f = np.append(human, [1.0, 0.0]), np.append(judged, [0.0, 1.0])
    counts = np.append(np.ones(n), [ADDED, ADDED])
    size = counts.sum()
    dy, df = y - counts @ y / size, f - counts @ f / size
    yy, ff, yf = counts @ (dy * dy), counts @ (df * df), counts @ (dy * df)
    weight = _weight(yy, ff, yf, size) * rest / (n + rest) if rest > 1 and n > 2 else 0.0
    if not weight:
        return Powered(float(human.mean()), alone, 0.0, alone)
    value = human.mean() - weight * (judged.mean() - others.mean())
    residual = (yy - 2 * weight * yf + weight * weight * ff) / (size - 2)
    variance = residual / n + weight * weight * others.var(ddof=1) / rest
    return Powered(float(value), float(variance), float(weight), alone)


def _weight(yy: float, ff: float, yf: float, size: float) -> float:
    """The slope of people's verdicts on the judge's, shrunk, in [0, 1], from sums of squares and products."""
    if ff <= 0 or yf <= 0:
        return 0.0
    slope, left = yf / ff, max(yy - yf * yf / ff, 0.0)
    z = slope / math.sqrt(left / (size - 2) / ff) if left else math.inf
    return min(1.0, slope * (1 - (SHRINK / z) ** 2)) if z > SHRINK else 0.0


def interval(value: float, variance: float, labels: int, freedom: float) -> Estimate:
    """Wilson's 95% interval of a share, for as many draws as have this variance.

    An estimate outside [0, 1], which a correction may give, is taken to its end. Without a variance, as of labels that are all
    alike, the interval is that of as many draws.
    """
    value = min(1.0, max(0.0, value))
    if labels < 2 or freedom < 1:
        return share(value * labels, labels)
    inside = min(max(value, 1e-3), 1 - 1e-3)
    draws = inside * (1 - inside) / variance if variance > 0 else float(labels)
    low, high = wilson(inside * draws, draws, float(scipy.special.stdtrit(freedom, 0.975)))
    return Estimate(value=value, low=min(value, low), high=max(value, high))


def rogan_gladen(human: Floats, judged: Floats, others: Floats) -> Estimate | None:
    """(judge's rate - what it says of pairs that B wins) / (what it says of pairs that A wins - the same of B), by delta method.

    With ties the judge's verdict is taken to be linear in people's; None where the slope is not clearly above 0.
    """
    n, rest = len(human), len(others)
    spread = float(((human - human.mean()) ** 2).sum())
    if n < 3 or not rest or not spread:
        return None
    slope = float(((human - human.mean()) * (judged - judged.mean())).sum()) / spread
    start = float(judged.mean()) - slope * float(human.mean())
    left = judged - start - slope * human
    noise = float((left**2).sum()) / (n - 2)
    if slope <= 2 * math.sqrt(noise / spread):
        return None
    value = (float(others.mean()) - start) / slope
    variance = (
        others.var(ddof=1) / rest + noise * (1 / n + (value - float(human.mean())) ** 2 / spread) if rest > 1 else 0.0
    ) / slope**2
    return interval(value, float(variance), n, n - 2)


def _needed(value: Estimate, labels: int) -> int | None:
    distance = abs(value.value - 0.5)
    if not distance:
        return None
    half = value.value - value.low if value.value > 0.5 else value.high - value.value
    needed = max(LEAST_LABELS, math.ceil(labels * (half / distance) ** 2))
    return needed if needed <= MOST_NEEDED else None


def _typical(judged: Floats, others: Floats) -> bool:
    """Whether the judge says about the same of labelled pairs as of others."""
    if len(judged) < 2 or len(others) < 2:
        return True
    pooled = float(np.concatenate([judged, others]).var(ddof=1))
    apart = abs(float(judged.mean()) - float(others.mean()))
    return apart <= APART * math.sqrt(pooled * (1 / len(judged) + 1 / len(others)))
