"""Log-probabilities of one-token answers: shares, log-odds, bounds and the reasons why there are none."""

import math

import pytest

from critics.labels import (
    MAX_LOG_ODDS,
    MIN_LISTED_MASS,
    MIN_MASS,
    MISSING,
    NOT_FINITE,
    OFF_MENU,
    Reading,
    clamped,
    log_odds,
    nearest,
    probabilities,
    within,
)

AB = ("A", "B")


def nats(**shares: float) -> dict[str, float]:
    return {name: math.log(share) for name, share in shares.items()}


@pytest.mark.parametrize(
    ("listed", "floor", "reason"),
    [
        (nats(A=0.5), None, MISSING),
        ({}, None, MISSING),
        ({"A": math.nan, "B": -1.0}, None, NOT_FINITE),
        ({"A": -math.inf, "B": -1.0}, None, NOT_FINITE),
        (nats(A=MIN_MASS * 0.4, B=MIN_MASS * 0.5), None, OFF_MENU),
        (nats(A=MIN_LISTED_MASS * 0.9), -9.0, OFF_MENU),
        ({}, -9.0, OFF_MENU),
    ],
)
def test_why_there_is_no_verdict(listed: dict[str, float], floor: float | None, reason: str) -> None:
    assert probabilities(listed, AB, floor) == reason
    assert log_odds(listed, AB, floor) == reason


def test_the_least_mass_will_do() -> None:
    assert not isinstance(probabilities(nats(A=MIN_MASS * 0.6, B=MIN_MASS * 0.5), AB), str)
    assert not isinstance(probabilities(nats(A=MIN_LISTED_MASS * 1.1), AB, -9.0), str)


def test_shares_are_of_what_the_labels_hold() -> None:
    found = probabilities(nats(A=0.3, B=0.1, C=0.2), AB)
    assert not isinstance(found, str)
    assert found.shares == pytest.approx([0.75, 0.25])
    assert not found.censored


def test_labels_outside_the_list_have_its_bound_or_what_is_left_over() -> None:
    far = probabilities(nats(A=0.6), ("A", "B", "C"), math.log(0.01))
    assert not isinstance(far, str)
    assert far.shares == pytest.approx([0.6 / 0.62, 0.01 / 0.62, 0.01 / 0.62])
    assert far.censored
    near = probabilities(nats(A=0.9), ("A", "B", "C"), math.log(0.5))
    assert not isinstance(near, str)
    assert near.shares == pytest.approx([0.9, 0.05, 0.05])
    certain = probabilities({"A": 0.0}, AB, -1.0)
    assert not isinstance(certain, str)
    assert 0 < certain.shares[1] < 1e-6


def test_log_odds_of_both_labels() -> None:
    found = log_odds(nats(A=0.6, B=0.2), AB)
    assert not isinstance(found, str)
    assert (found.value, found.censored, found.bounds) == (pytest.approx(math.log(3)), False, None)
    capped = log_odds({"A": -0.1, "B": -40.0}, AB)
    assert capped == Reading(MAX_LOG_ODDS, True)
    exact = log_odds({"A": -1.0, "B": -1.0 - MAX_LOG_ODDS}, AB)
    assert exact == Reading(pytest.approx(MAX_LOG_ODDS), False)


def test_a_label_outside_the_list_bounds_the_other() -> None:
    floor = math.log(0.01)
    ahead, behind = log_odds(nats(A=0.5), AB, floor), log_odds(nats(B=0.5), AB, floor)
    assert ahead == Reading(pytest.approx(math.log(50)), True, (pytest.approx(math.log(50)), math.inf))
    assert behind == Reading(pytest.approx(-math.log(50)), True, (-math.inf, pytest.approx(-math.log(50))))
    untold = log_odds(nats(A=0.1), AB, math.log(0.3))  # B may be likelier than A
    assert not isinstance(untold, str)
    assert (untold.value, untold.bounds) == (0.0, (pytest.approx(-math.log(3)), math.inf))


def test_a_reading_turned_round() -> None:
    assert Reading(2.0).turned() == Reading(-2.0)
    assert Reading(2.0, True, (1.0, math.inf)).turned() == Reading(-2.0, True, (-math.inf, -1.0))
    assert Reading(2.0).range == (2.0, 2.0)
    assert Reading(2.0, True, (1.0, 3.0)).range == (1.0, 3.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Reading(1.0), Reading(3.0), (1.0, 3.0)),
        (Reading(3.0), Reading(1.0), (3.0, 1.0)),
        (Reading(3.0, True, (3.0, math.inf)), Reading(5.0, True, (5.0, math.inf)), (5.0, 5.0)),
        (Reading(-3.0, True, (-math.inf, -3.0)), Reading(5.0, True, (5.0, math.inf)), (-3.0, 5.0)),
        (Reading(5.0, True, (5.0, math.inf)), Reading(-3.0, True, (-math.inf, -3.0)), (5.0, -3.0)),
        (Reading(0.0, True, (-1.0, math.inf)), Reading(4.0), (4.0, 4.0)),
        (Reading(0.0, True, (-4.0, 4.0)), Reading(2.0, True, (-4.0, 4.0)), (1.0, 1.0)),
    ],
)
def test_the_values_that_differ_least(one: Reading, other: Reading, expected: tuple[float, float]) -> None:
    assert nearest(one, other) == expected


def test_probabilities_are_kept_within_bounds() -> None:
    assert clamped(9.0, 0.1, 0.8) == pytest.approx(math.log(4))
    assert clamped(-9.0, 0.1, 0.8) == pytest.approx(-math.log(9))
    assert clamped(0.3, 0.1, 0.8) == 0.3
    assert within(Reading(9.0, True, (8.0, math.inf)), 0.2, 0.8) == Reading(
        pytest.approx(math.log(4)), True, (pytest.approx(math.log(4)), pytest.approx(math.log(4)))
    )
    assert within(Reading(0.5), 0.2, 0.8) == Reading(0.5)
