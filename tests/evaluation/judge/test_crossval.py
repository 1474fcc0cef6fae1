"""The factor by which a stopping rule's spread is multiplied, so that no more labels change than it states."""

import numpy as np
import pytest
from scipy.stats import norm

from evaluation.judge.crossval import CHECKED, FACTORS, _factor, same_labels
from evaluation.statistics import Floats


def asked_twice(noise: float, pairs: int = 4000) -> tuple[Floats, Floats, Floats]:
    """Expected logits after each of two voters, their said spreads, and full logits that are `noise` times as far from the first."""
    dice = np.random.default_rng(0)
    first = dice.normal(0, 2, pairs)
    full = first + noise * dice.normal(0, 1, pairs)
    return np.stack([first, full], 1), np.tile([1.0, 1e-9], (pairs, 1)), full


def changed(factor: float, error: float, noise: float) -> int:
    """Labels that another one than the full one is given to, where asking ends once the chance of that is at most `error`."""
    expected, _, full = asked_twice(noise)
    ends = norm.cdf(np.abs(expected[:, 0]) / factor) >= 1 - error
    return int((ends & (np.sign(expected[:, 0]) != np.sign(full))).sum())


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 4.0])
def test_the_factor_is_the_least_that_holds_at_every_stated_error(noise: float) -> None:
    expected, spread, full = asked_twice(noise)
    found = _factor(expected, spread, full)
    n = int((full != 0).sum())
    assert all(
        changed(found, error, noise) + 1 <= error * (n + 1) or changed(found, error, noise) == 0 for error in CHECKED
    )
    assert found == 1.0 or not all(changed(found / 1.1, error, noise) + 1 <= error * (n + 1) for error in CHECKED)
    assert (found > 1) == (noise > 1)


def test_a_rule_that_nothing_mends_has_the_largest_factor_and_one_that_is_never_wrong_none() -> None:
    expected, spread, full = asked_twice(1.0, 200)
    assert _factor(-1e9 * np.sign(full)[:, None] * np.array([1.0, -1.0]), spread, full) == FACTORS[-1]
    assert _factor(expected, spread, np.zeros(200)) == 1.0, "a pair without a label has none that changes"


def test_one_label_more_than_changed_must_be_within_the_error() -> None:
    """Of 199 pairs one may change at a stated error of 0.01, as (1 + 1) / (199 + 1)."""
    for wrong, more in ((0, False), (1, True)):
        full = np.ones(199)
        expected = np.stack(
            [np.where(np.arange(199) < wrong, -2.6, 2.6), full], 1
        )  # ends at 0.005, and at 0.01 up to 1.1
        found = _factor(expected, np.ones((199, 2)), full)
        assert (found > 1) == more


def test_labels_are_the_same_where_both_sides_are_beyond_the_limit() -> None:
    full, turned = np.array([2.0, -2.0, 2.0, 0.5, 0.0, 1.0]), np.array([1.0, 2.0, 0.5, 2.0, 1.0, 1.0])
    assert same_labels(full, turned, 1.0) == (4, 2)
    assert same_labels(full, turned, 0.0) == (5, 4)
