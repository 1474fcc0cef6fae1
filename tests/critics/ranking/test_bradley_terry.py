"""Strengths against a fit by hand, and what a comparison does to what is known."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from critics.ranking.bradley_terry import COINS, PRIOR, fit, sigmoid


def test_nothing_is_known_before_a_comparison() -> None:
    found = fit(3, {})
    assert found.mean.tolist() == [0, 0, 0]
    np.testing.assert_allclose(found.covariance, np.eye(3) * PRIOR**2)
    assert found.doubt(np.array([0]), np.array([2])).tolist() == [0.5]
    assert fit(0, {}).mean.shape == (0,)


def posterior(strengths: np.ndarray, logits: dict[tuple[int, int], float], dispersion: float) -> float:
    """Minus the log-posterior, written down anew."""
    total = float(strengths @ strengths) / (2 * PRIOR**2)
    for (i, j), logit in logits.items():
        won, p = 1 / (1 + math.exp(-logit)), 1 / (1 + math.exp(strengths[j] - strengths[i]))
        total -= (won * math.log(p) + (1 - won) * math.log(1 - p)) / dispersion
    return total


LOGITS = {(0, 1): 2.0, (1, 2): 0.5, (0, 2): -1.0, (2, 3): 3.0}


def test_strengths_are_the_most_probable_ones() -> None:
    tosses = minimize(posterior, np.zeros(4), (LOGITS, 1.0), tol=1e-12).x
    gaps = {(i, j): tosses[i] - tosses[j] for i, j in LOGITS}
    expected = {pair: 1 / (1 + math.exp(-gap)) for pair, gap in gaps.items()}
    won = {pair: 1 / (1 + math.exp(-logit)) for pair, logit in LOGITS.items()}
    scatter = sum((won[p] - expected[p]) ** 2 / (expected[p] * (1 - expected[p])) for p in LOGITS)
    precision = np.eye(4) / PRIOR**2
    for (i, j), p in expected.items():
        row = np.zeros(4)
        row[i], row[j] = 1, -1
        precision += p * (1 - p) * np.outer(row, row)
    determined = 4 - np.trace(np.linalg.inv(precision)) / PRIOR**2
    dispersion = (COINS + scatter) / (COINS + len(LOGITS) - determined)
    best = minimize(posterior, np.zeros(4), (LOGITS, dispersion), tol=1e-12).x
    np.testing.assert_allclose(fit(4, LOGITS).mean, best, atol=1e-5)


def test_who_wins_is_stronger_and_more_comparisons_leave_less_doubt() -> None:
    one, three = fit(2, {(0, 1): 3.0}), fit(3, {(0, 1): 3.0, (0, 2): 3.0, (1, 2): 0.0})
    first, second = np.array([0, 1]), np.array([1, 0])
    assert one.mean[0] == pytest.approx(-one.mean[1])
    assert one.mean[0] > 0.5
    doubts = one.doubt(first, second)
    assert doubts[0] == doubts[1] < 0.5
    assert three.doubt(first, second)[0] < doubts[0]
    variance = one.covariance[0, 0] + one.covariance[1, 1] - 2 * one.covariance[0, 1]
    assert doubts[0] == pytest.approx(norm.cdf(-(one.mean[0] - one.mean[1]) / math.sqrt(variance)))


@pytest.mark.parametrize("logit", [40.0, 700.0, -700.0])
def test_certain_votes_have_a_finite_fit(logit: float) -> None:
    found = fit(2, {(0, 1): logit})
    assert 0.5 < abs(found.mean[0]) < PRIOR
    assert (found.mean[0] > 0) == (logit > 0)


def test_probabilities_are_exact_at_both_ends() -> None:
    assert sigmoid(np.array([0.0, -50.0, 800.0, -800.0])).tolist() == [0.5, pytest.approx(math.exp(-50)), 1.0, 0.0]
