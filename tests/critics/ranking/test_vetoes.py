"""A violator loses to a response that violates nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.records import VIOLATION, Vote
from critics.ranking.vetoes import log_odds, veto

VETOES = {"never", "short"}


def asked(kept_a: float, kept_b: float, principle: str = "never", judge: str = "judge") -> Vote:
    return Vote("p", "a", "b", principle, kept_a, kept_b, VIOLATION, judge)


def ruled(value: float, principle: str = "short") -> Vote:
    return Vote("p", "a", "b", principle, value, -value, "rule", "")


@pytest.mark.parametrize(
    ("kept_a", "kept_b", "better"),
    [
        pytest.param(-1.0, 1.0, "b", id="a-violates"),
        pytest.param(1.0, -1.0, "a", id="b-violates"),
        pytest.param(-0.001, 0.001, "b", id="however-narrowly"),
        pytest.param(-5.0, -0.1, "", id="both-violate"),
        pytest.param(5.0, 0.1, "", id="neither-violates"),
        pytest.param(0.0, 0.0, "", id="one-half-is-no-violation"),
        pytest.param(0.0, -1.0, "a", id="nor-beside-one"),
        pytest.param(0.0, -1e-38, "", id="too-near-one-half-to-have-a-side"),
    ],
)
def test_one_that_violates_loses_to_one_that_does_not(kept_a: float, kept_b: float, better: str) -> None:
    found = veto([asked(kept_a, kept_b)], VETOES)
    assert (found is not None) == bool(better)
    if found:
        assert (found.principle, "a" if found.logit > 0 else "b") == ("never", better)


def test_several_judges_of_one_principle_are_averaged() -> None:
    assert veto([asked(-3.0, 1.0), asked(1.0, 1.0, judge="other")], VETOES)
    assert veto([asked(-3.0, 1.0), asked(4.0, 1.0, judge="other")], VETOES) is None


def test_where_each_violates_something_none_is_spared() -> None:
    assert veto([asked(-3.0, 3.0), asked(3.0, -3.0, "other")], VETOES) is None
    assert veto([asked(-3.0, 3.0), ruled(3.0)], VETOES) is None


def test_the_surest_of_several_vetoes_speaks() -> None:
    found = veto([asked(-1.0, 1.0), asked(-3.0, 3.0, "other"), asked(2.0, 2.0, "third")], VETOES)
    assert found == ("other", pytest.approx(log_odds(-3.0, 3.0)))


def test_a_rule_with_a_veto_decides_and_one_without_does_not() -> None:
    assert veto([ruled(3.0)], VETOES) == ("short", pytest.approx(log_odds(3.0, -3.0)))
    assert veto([ruled(3.0, "other")], VETOES) is None


odds = st.floats(-800, 800)


@given(odds, odds)
def test_the_log_odds_are_those_of_a_probability_and_antisymmetric(a: float, b: float) -> None:
    z = log_odds(a, b)
    assert math.isfinite(z)
    assert log_odds(b, a) == pytest.approx(-z)
    violates = [1 / (1 + math.exp(min(kept, 700))) for kept in (a, b)]
    assert 1 / (1 + math.exp(-z)) == pytest.approx((1 + violates[1] - violates[0]) / 2, abs=1e-9)
