"""Comparisons -> strengths, and how sure they are.

R. A. Bradley and M. E. Terry, Rank analysis of incomplete block designs, Biometrika 39 (1952): a beats b with probability
sigmoid(strength of a - strength of b). The outcomes here are soft: a comparison counts as won by the probability its votes
give. Strengths have a normal prior, so that any set of comparisons, even none, has one finite fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PRIOR = 2.0
"""Standard deviation of strengths before any comparison, in log-odds."""

COINS = 8
"""Comparisons that the dispersion takes as seen, with a coin's scatter."""

TINY = 1e-10
"""A change of strengths, in log-odds, that is none."""

Floats = NDArray[np.float64]
Index = tuple[int, int]
"""Positions of two candidates, the smaller first."""


class Fit(NamedTuple):
    """Strengths of n candidates after their comparisons: a normal distribution (Laplace's approximation)."""

    mean: Floats
    """(n,) strengths in log-odds, the most probable ones."""
    covariance: Floats
    """(n, n)"""

    def doubt(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
        """Probability that the order of the means is wrong, for each pair: 0.5 where nothing is known."""
        gap = self.mean[first] - self.mean[second]
        c = self.covariance
        variance = c[first, first] + c[second, second] - 2 * c[first, second]
        return np.asarray([math.erfc(z / math.sqrt(2)) / 2 for z in np.abs(gap) / np.sqrt(variance)])


def sigmoid(logits: Floats) -> Floats:
    """Probabilities of log-odds, exact to their last digits at both ends."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def fit(n: int, logits: Mapping[Index, float]) -> Fit:
    """Strengths of n candidates from the log-odds, for the first, of the pairs that were compared.

    Soft outcomes scatter less than the toss of a coin with the same probability. By how much is the dispersion (Wedderburn
    1974, quasi-likelihood), estimated from the residuals, over the degrees of freedom that the strengths leave them, and COINS
    comparisons more that scattered like coins; comparisons that agree with each other thus leave less doubt.
    """
    pairs = np.array(list(logits), dtype=np.intp).reshape(-1, 2)
    outcomes = sigmoid(np.fromiter(logits.values(), np.float64, len(logits)))
    first, second = pairs.T
    tosses = _most_probable(n, first, second, outcomes, 1.0, np.zeros(n))
    expected = sigmoid(tosses.mean[first] - tosses.mean[second])
    scatter = ((outcomes - expected) ** 2 / (expected * (1 - expected))).sum()
    # how many strengths the comparisons determine, and not the prior
    determined = n - float(np.trace(tosses.covariance)) / PRIOR**2
    dispersion = float((COINS + scatter) / (COINS + len(logits) - determined))
    return _most_probable(n, first, second, outcomes, dispersion, tosses.mean)


def _most_probable(
    n: int, first: NDArray[np.intp], second: NDArray[np.intp], outcomes: Floats, dispersion: float, strengths: Floats
) -> Fit:
    """Newton's method with step halving on the concave log-posterior, from some strengths."""
    design = np.zeros((len(outcomes), n))
    rows = np.arange(len(outcomes))
    design[rows, first], design[rows, second] = 1.0, -1.0

    def loss(strengths: Floats) -> float:
        ahead = design @ strengths
        missed = (outcomes * np.logaddexp(0, -ahead) + (1 - outcomes) * np.logaddexp(0, ahead)).sum() / dispersion
        return float((strengths @ strengths) / (2 * PRIOR**2) + missed)

    while True:
        won = sigmoid(design @ strengths)
        gradient = design.T @ (outcomes - won) / dispersion - strengths / PRIOR**2
        precision = (design.T * (won * (1 - won))) @ design / dispersion + np.eye(n) / PRIOR**2
        step = np.linalg.solve(precision, gradient)
        while np.abs(step).max(initial=0.0) > TINY and loss(strengths + step) > loss(strengths):
            step /= 2
        if np.abs(step).max(initial=0.0) <= TINY:
            return Fit(strengths, np.asarray(np.linalg.inv(precision), dtype=np.float64))
        strengths = strengths + step
