"""Bounds of shares."""

import random

import pytest

from evaluation.verify.finding import LEVEL, above, below, graded, is_blind, lower, upper


def test_bounds_by_hand() -> None:
    assert lower(100, 100) == pytest.approx(LEVEL**0.01)
    assert upper(0, 100) == pytest.approx(1 - LEVEL**0.01)
    assert (lower(0, 100), upper(100, 100)) == (0.0, 1.0)


def test_nothing_is_above_or_below_anything_without_rows() -> None:
    assert not above(0, 0, 0.0)
    assert not below(0, 0, 1.0)
    assert not is_blind(0, 0)


def test_a_share_at_its_threshold_raises_hardly_an_alarm() -> None:
    draw = random.Random(0)
    for n in (5, 50, 500):
        alarms = sum(above(sum(draw.random() < 0.1 for _ in range(n)), n, 0.1) for _ in range(1000))
        assert alarms <= 2  # 0.16 are expected


@pytest.mark.parametrize(
    ("hits", "severity"), [(1, "note"), (2, "note"), (3, "warning"), (5, "warning"), (20, "error")]
)
def test_few_rows_are_a_note(hits: int, severity: str) -> None:
    assert graded("error", hits, 300) == severity


@pytest.mark.parametrize(
    ("hits", "n", "blind"), [(50, 100, True), (5, 10, False), (20, 100, False), (80, 100, False), (440, 1000, True)]
)
def test_agreement_of_coins(hits: int, n: int, blind: bool) -> None:
    assert is_blind(hits, n) == blind
