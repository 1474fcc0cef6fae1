"""Whether a panel is as often right as it says, and how far chance alone would take one from it.

The expected calibration error (Guo et al. 2017, arXiv:1706.04599) is above 0 even for a panel that is perfectly calibrated, since
a bin's accuracy is that of few pairs. So it stands beside the value that such a panel would show on as many pairs with the same
confidences, beside a measure without that bias, and beside the slope of the right answer on the log-odds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from constitution.records import Strict
from critics.ranking.intervals import Z
from critics.ranking.weights import Estimate
from evaluation.statistics import BINS, Floats, ece

DRAWS = 2_000
"""Panels that are simulated."""
STEEPEST = 1e3
"""Slope of a panel that is right on every pair: the likelihood has no maximum there."""


class Calibration(Strict):
    """How well a panel's probabilities are calibrated."""

    ece: float
    """Expected calibration error, 0 to 1."""
    expected: float
    """Its mean, were the panel perfectly calibrated."""
    high: float
    """Its 95% quantile, were the panel perfectly calibrated; above it, the panel is not."""
    debiased: float
    """Root mean squared calibration error without the part that chance adds (Kumar et al. 2019, arXiv:1909.10155); 0 where
    chance explains all of it."""
    slope: Estimate
    """What the log-odds would have to be multiplied by; below 1 the panel is too sure."""


def calibration(logits: Floats, seed: int = 0) -> Calibration:
    """Of log-odds [pairs] for the better response."""
    clean = np.nan_to_num(logits)
    confidence = expit(np.abs(clean))
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    drawn = _if_calibrated(confidence, places, seed)
    return Calibration(
        ece=ece(clean),
        expected=float(drawn.mean()),
        high=float(np.quantile(drawn, 0.95)),
        debiased=_debiased(confidence, (np.sign(clean) + 1) / 2, places),
        slope=slope(clean),
    )


def slope(logits: Floats) -> Estimate:
    """By the most likely logistic regression without an intercept, with Wald's 95% interval."""
    found = 1.0
    for _ in range(100):
        wrong = expit(-found * logits)
        information = float((logits**2 * wrong * (1 - wrong)).sum())
        step = float((logits * wrong).sum()) / max(information, 1e-12)
        # a step of Newton's method may overshoot where the likelihood is flat
        found += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-9 or abs(found) >= STEEPEST:
            break
    wrong = expit(-found * logits)
    half = Z / max(float(np.sqrt((logits**2 * wrong * (1 - wrong)).sum())), 1e-12)
    return Estimate(value=found, low=max(found - half, -STEEPEST), high=min(found + half, STEEPEST))


def _if_calibrated(confidence: Floats, places: NDArray[np.intp], seed: int) -> Floats:
    """[DRAWS] expected calibration errors of panels that are right as often as they say."""
    right = np.random.default_rng(seed).random((DRAWS, len(confidence))) < confidence
    gaps = np.stack([(confidence - right)[:, places == b].sum(1) for b in range(BINS)], axis=1)
    errors: Floats = np.abs(gaps).sum(1) / max(1, len(confidence))
    return errors


def _debiased(confidence: Floats, right: Floats, places: NDArray[np.intp]) -> float:
    squared = 0.0
    for b in range(BINS):
        inside = places == b
        n = int(inside.sum())
        if n > 1:
            share = float(right[inside].mean())
            gap = float(confidence[inside].mean()) - share
            squared += n * (gap**2 - share * (1 - share) / (n - 1))
    return float(np.sqrt(max(0.0, squared / max(1, len(confidence)))))
