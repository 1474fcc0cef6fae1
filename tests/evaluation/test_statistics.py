"""Measures on numbers derived by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation import statistics as measures

CERTAIN = math.log(0.9 / 0.1)


def test_a_share_has_wilsons_interval() -> None:
    found = measures.share(8, 10)
    reference = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((0.8, reference.low, reference.high))


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5)])
def test_an_interval_stays_within_0_and_1(hits: int, n: int) -> None:
    found = measures.share(hits, n)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_ends_of_the_scale_are_exact() -> None:
    assert {n: measures.share(0, n).low for n in range(1, 60)} == dict.fromkeys(range(1, 60), 0.0)
    assert {n: measures.share(n, n).high for n in range(1, 60)} == dict.fromkeys(range(1, 60), 1.0)


def test_nothing_measured_is_no_share() -> None:
    found = measures.share(0, 0)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0, 1)


def test_a_difference_of_shares_has_newcombes_interval() -> None:
    """56 of 70 against 48 of 80: example (a) of Newcombe 1998, method 10."""
    found = measures.difference(measures.share(56, 70), measures.share(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_a_tie_is_half_right() -> None:
    assert measures.accuracy(np.array([1.0, -1.0, 0.0, np.nan])).value == 0.5
    assert measures.accuracy(np.array([1.0, 2.0, 0.0, 0.0])).value == 0.75


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    # 10 pairs at 90%: 8 right. 10 pairs at 50%: half right by definition.
    logits = np.array([CERTAIN] * 8 + [-CERTAIN] * 2 + [0.0] * 10)
    (low_confidence, low_right, low_n), (confidence, right, n) = measures.reliability(logits)
    assert (low_confidence, low_right, low_n) == (0.5, 0.5, 10)
    assert (confidence, right, n) == (pytest.approx(0.9), 0.8, 10)
    assert measures.ece(logits) == pytest.approx(0.5 * 0.1)
    assert measures.ece(np.array([CERTAIN])) == pytest.approx(0.1)
    assert measures.ece(np.array([])) == 0


def test_likelihood() -> None:
    assert measures.nll(np.array([0.0, np.nan])) == pytest.approx(math.log(2))
    assert measures.nll(np.array([CERTAIN])) == pytest.approx(-math.log(0.9))
    assert measures.nll(np.array([-1000.0])) == pytest.approx(1000)


def test_coverage_keeps_the_surest_first() -> None:
    curve = measures.coverage(np.array([0.1, -0.2, 5.0, 4.0]), points=4)
    assert curve == [(0.25, 1.0), (0.5, 1.0), (0.75, pytest.approx(2 / 3)), (1.0, 0.75)]
    assert [share for share, _ in measures.coverage(np.ones(40))] == pytest.approx(np.arange(1, 21) / 20)
    assert measures.coverage(np.array([np.nan, 2.0, -1.0]), points=3)[0] == (pytest.approx(1 / 3), 1.0), (
        "NaN is no answer"
    )


def test_mcnemar_counts_what_only_one_has_right() -> None:
    a = np.array([1.0] * 8 + [-1.0] * 1 + [1.0] * 5 + [-1.0] * 3)
    b = np.array([-1.0] * 8 + [1.0] * 1 + [1.0] * 5 + [-1.0] * 3)
    only_a, only_b, p = measures.mcnemar(a, b)
    assert (only_a, only_b) == (8, 1)
    assert p == pytest.approx(2 * (1 + 9) / 2**9)
    assert measures.mcnemar(b, a) == (1, 8, p)
    assert measures.mcnemar(a, a) == (0, 0, 1.0)
    tie, right = np.zeros(3), np.ones(3)
    assert (measures.mcnemar(tie, right)[:2], measures.mcnemar(right, tie)[:2]) == ((0, 3), (3, 0))
    assert measures.mcnemar(tie, -right) == (0, 0, 1.0)


def test_the_calibration_error_of_one_pair_is_its_gap() -> None:
    assert measures.ece(np.array([np.log(3)])) == pytest.approx(0.25)


def test_mcnemar_counts_no_tie_as_right() -> None:
    assert measures.mcnemar(np.array([0.0, -1.0]), np.array([-1.0, 0.0])) == (0, 0, 1.0)


def test_resamples_draw_whole_prompts_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = measures.resampled(lambda held: held, 6, seed=3, clusters=["a", "b", "a", "c", "b", "a"], resamples=50)
    assert drawn.shape == (50, 6)
    assert (drawn[:, [0, 1]] == drawn[:, [2, 4]]).all()
    assert (drawn[:, 0] == drawn[:, 5]).all()
    assert (drawn[:, [0, 1, 3]].sum(1) == 3).all(), "as many prompts as there are"
    alone = measures.resampled(lambda held: held, 6, seed=3, resamples=50)
    assert (alone.sum(1) == 6).all()
    assert alone.std(0).min() > 0
    monkeypatch.setattr(measures, "_BLOCK", 6 * 7)
    assert (measures.resampled(lambda held: held, 6, seed=3, resamples=50) == alone).all()
    assert len(measures.resampled(lambda held: held.sum(1), 2)) == measures.RESAMPLES
