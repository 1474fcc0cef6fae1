"""Thresholds with a stated error: what they accept, and that they keep what they promise in simulated panels."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy

from critics.ranking.kinds import Test
from evaluation.risk.splits import halves
from evaluation.risk.thresholds import (
    Threshold,
    least_labels,
    most_wrong,
    on_average,
    rank,
    rank_steps,
    threshold,
    upper,
    with_confidence,
)
from evaluation.statistics import Floats

LOGIT = Callable[[Floats], Floats]
CHANCE: dict[str, LOGIT] = {
    "calibrated": lambda sure: scipy.special.expit(-sure),
    "too sure": lambda sure: scipy.special.expit(-sure / 2),
    "not sure enough": lambda sure: scipy.special.expit(-2 * sure),
    "wrong labels among the surest": lambda sure: 0.02 + 0.96 * scipy.special.expit(-sure),
    "certainty says nothing": lambda sure: np.full(len(sure), 0.07),
}


def right(*sure: float) -> list[float]:
    return [*sure]


def wrong(*sure: float) -> list[float]:
    return [-z for z in sure]


def test_on_average_one_more_wrong_pair_would_still_keep_the_error() -> None:
    logits = np.array(right(*np.linspace(9, 5, 19)) + wrong(4) + right(*np.linspace(3, 2, 19)) + wrong(1))
    # 19 right: 1 / 20; then 39 with one wrong: 2 / 40; the last would make it 3 / 41
    assert on_average(rank(logits), 0.05) == Threshold(2.0, 39, 1)
    assert on_average(rank(logits[:19]), 0.05) == Threshold(5.0, 19, 0)
    assert on_average(rank(logits[:18]), 0.05) == Threshold(None, 0, 0), "18 right ones do not show 5%"


def test_pairs_that_are_equally_sure_are_accepted_together_or_not() -> None:
    logits = np.array(right(*[2.0] * 25) + wrong(*[1.0] * 3) + right(*[1.0] * 30))
    assert rank(logits).accepted.tolist() == [25, 58]
    assert on_average(rank(logits), 0.05) == Threshold(2.0, 25, 0)


def test_ties_and_missing_votes_are_never_accepted() -> None:
    logits = np.array([0.0, np.nan] * 50 + right(*[3.0] * 30))
    for confidence in (None, 0.9):
        assert threshold(logits, 0.1, confidence) == Threshold(3.0, 30, 0)
    assert threshold(np.zeros(200), 0.5, None).least is None
    assert threshold(np.zeros(200), 0.5, 0.9).least is None
    assert threshold(np.array([]), 0.05, 0.9).least is None


@pytest.mark.parametrize(("test", "least"), [("exact", 45), ("mid-p", 32)])
def test_with_confidence_needs_so_many_right_labels(test: Test, least: int) -> None:
    assert least_labels(0.05, 0.9, test) == least
    logits = np.linspace(9, 1, least)
    assert with_confidence(rank(logits), 0.05, 0.9, test) == Threshold(1.0, least, 0)
    assert with_confidence(rank(logits[:-1]), 0.05, 0.9, test).least is None


def test_the_most_wrong_ones_are_those_of_the_binomial_test() -> None:
    allowed = most_wrong(200, 0.05, 0.9, "exact")
    for accepted in (44, 45, 76, 77, 150, 200):
        k = int(allowed[accepted])
        assert k < 0 or scipy.stats.binom.cdf(k, accepted, 0.05) <= 0.1
        assert scipy.stats.binom.cdf(k + 1, accepted, 0.05) > 0.1
    assert (most_wrong(200, 0.05, 0.9, "mid-p") >= allowed).all()


def test_testing_ends_at_the_first_threshold_that_fails() -> None:
    sure = np.linspace(12, 6, 200)
    logits = np.where(np.arange(200) < 100, sure, -sure)
    found = with_confidence(rank(logits), 0.05, 0.9)
    assert 60 <= found.accepted <= 110, "the surest hundred are right, the others wrong"
    assert with_confidence(rank(-logits), 0.05, 0.9).least is None, "the surest are wrong: nothing is accepted"


def test_the_upper_bound_is_clopper_and_pearsons() -> None:
    assert upper(0, 45, 0.9) == pytest.approx(1 - 0.1 ** (1 / 45))
    assert upper(3, 3, 0.9) == 1.0


@pytest.mark.parametrize("kind", [*CHANCE])
@pytest.mark.parametrize("error", [0.05, 0.1])
def test_the_promise_is_kept(kind: str, error: float) -> None:
    """On average at most the error; with 90% confidence by the exact test in at least 90% of draws, by mid-p in about as many."""
    generator = np.random.default_rng(5)
    everyone = np.abs(generator.normal(size=4000)) * 3
    often = CHANCE[kind](everyone)
    shares: dict[str, list[float]] = {"average": [], "exact": [], "mid-p": []}
    for _ in range(250):
        sure = np.abs(generator.normal(size=120)) * 3
        logits = np.where(generator.random(120) < CHANCE[kind](sure), -sure, sure)
        found = {
            "average": on_average(rank(logits), error),
            "exact": with_confidence(rank(logits), error, 0.9, "exact"),
            "mid-p": with_confidence(rank(logits), error, 0.9, "mid-p"),
        }
        for name, at in found.items():
            taken = everyone >= at.least if at.least is not None else np.zeros(len(everyone), dtype=bool)
            shares[name].append(float(often[taken].mean()) if taken.any() else 0.0)
    noise = 0.025
    assert np.mean(shares["average"]) <= error + 0.004
    assert np.mean(np.array(shares["exact"]) > error) <= 0.1 + noise
    assert np.mean(np.array(shares["mid-p"]) > error) <= 0.12 + noise


def test_halving_shows_what_the_rule_would_have_come_to() -> None:
    generator = np.random.default_rng(0)
    sure = np.abs(generator.normal(size=300)) * 4
    logits = np.where(generator.random(300) < scipy.special.expit(-sure), -sure, sure)
    found = halves(logits, 0.1, None, draws=50)
    assert found == halves(logits, 0.1, None, draws=50), "the same halves again"
    assert 0.5 < found.accepted < 1
    assert found.error < 0.12
    careful = halves(logits, 0.1, 0.9, draws=50)
    assert careful.accepted < found.accepted
    assert careful.error < found.error
    assert halves(np.zeros(30), 0.1, None, draws=5) == (0.0, 0.0, 0.0, 1.0)


def test_a_cascade_takes_the_label_of_the_first_step_that_is_sure_enough() -> None:
    logits = np.array([[3.0, 3.0], [-2.5, 4.0], [1.0, 2.0], [0.5, -2.0], [0.0, 0.0]])
    ranked = rank_steps(logits)
    assert ranked.least.tolist() == [4.0, 3.0, 2.5, 2.0, 1.0, 0.5]
    assert ranked.accepted.tolist() == [1, 2, 2, 4, 4, 4]
    assert ranked.wrong.tolist() == [0, 0, 1, 2, 2, 1], "at 2.5 the first step is sure of the second pair, and wrong"
    alone = rank(logits[:, 0])
    same = rank_steps(logits[:, :1])
    for one, other in zip(alone, same, strict=True):
        assert np.allclose(one, other)


def test_a_cascade_is_halved_too() -> None:
    generator = np.random.default_rng(3)
    logits = []
    for size in (1.0, 3.0):  # the second step is surer, and rightly so
        sure = np.abs(generator.normal(size=200)) * size
        logits.append(np.where(generator.random(200) < scipy.special.expit(-sure), -sure, sure))
    both = halves(np.stack(logits, axis=1), 0.1, None, draws=20)
    first = halves(logits[0], 0.1, None, draws=20)
    assert first.accepted < both.accepted < 1
    assert both.error < 0.13
    assert halves(logits[1][:, None], 0.1, None, draws=20) == halves(logits[1], 0.1, None, draws=20)
