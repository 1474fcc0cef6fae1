"""Wilson's interval against scipy's."""

import pytest
from scipy import stats

from critics.ranking.intervals import Z, wilson


def test_it_is_wilsons() -> None:
    assert pytest.approx(stats.norm.ppf(0.975), abs=1e-12) == Z
    for n in (1, 2, 7, 30, 400):
        for hits in {0, 1, n // 3, n // 2, n - 1, n}:
            known = stats.binomtest(hits, n).proportion_ci(method="wilson")
            assert wilson(hits, n) == pytest.approx((known.low, known.high), abs=1e-12), (hits, n)
    narrow = stats.binomtest(3, 9).proportion_ci(0.6826894921370859, method="wilson")
    assert wilson(3, 9, 1.0) == pytest.approx((narrow.low, narrow.high), abs=1e-9)


def test_ends_are_exact_and_nothing_counted_is_all_that_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert (wilson(0, 9)[0], wilson(9, 9)[1]) == (0.0, 1.0)
    assert wilson(0.5, 9)[0] > 0
    assert wilson(8.5, 9)[1] < 1
