"""Chances of single tests, by hand, and that those of a run add up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from training.monitor.chances import chance, family
from training.monitor.config import Detector, MonitorSettings
from training.monitor.moves import Check

VALUES = {
    "gold": 0.5,
    "kl": 0.0,
    "proxy": 0.0,
    "words": 50.0,
    "reward_length": 0.1,
    "markup": 0.0,
    "principle/kind": 0.9,
}


def checks(count: int, values: dict[str, float]) -> Sequence[Check]:
    return [Check(i, values) for i in range(count)]


def test_a_test_for_each_value_that_is_watched() -> None:
    watched = family(Check(0, VALUES), MonitorSettings())
    assert sorted(watched) == [
        "over-optimisation", "predicted peak", "principle drift", "style exploitation", "verbosity", "verbosity",
    ]  # fmt: skip
    assert "verbosity" not in family(Check(0, VALUES), MonitorSettings(words=None, reward_length=None))
    assert family(Check(0, {}), MonitorSettings()) == []


@pytest.mark.parametrize(
    ("detector", "ends", "halts", "share"),
    [
        pytest.param("over-optimisation", True, ("over-optimisation",), 0.05, id="alone-it-ends-a-run"),
        pytest.param("over-optimisation", False, ("over-optimisation",), 0.1 / 2, id="half-of-the-warnings"),
        pytest.param("verbosity", True, ("over-optimisation",), 0.1 / 2 / 5, id="the-other-half-among-five"),
        pytest.param("verbosity", True, ("over-optimisation", "verbosity"), 0.05 / 2 / 2, id="two-that-end-a-run-too"),
        pytest.param("verbosity", True, ("verbosity",), 0.05 / 2, id="both-of-one-detector"),
    ],
)
def test_shares_of_a_look(detector: Detector, ends: bool, halts: tuple[Detector, ...], share: float) -> None:
    """The fourth check has 1 / (4 * 3) of what a run is allowed."""
    settings = MonitorSettings(halts=halts)
    assert chance(checks(4, VALUES), settings, detector, ends) == pytest.approx(share / 12)


def test_a_run_however_long_spends_no_more_than_it_is_allowed() -> None:
    settings, watched = MonitorSettings(), family(Check(0, VALUES), MonitorSettings())
    spent = sum(
        chance(checks(count, VALUES), settings, name, ends=False) for count in range(2, 300) for name in watched
    )
    assert 0.99 * settings.false_warning < spent <= settings.false_warning
