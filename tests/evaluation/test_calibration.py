"""Calibration of a panel beside what chance alone would show."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.calibration import calibration, slope


def panel(pairs: int, scale: float, seed: int) -> NDArray[np.float64]:
    """Log-odds for the better response of a calibrated panel, which then says `scale` times as much."""
    rng = np.random.default_rng(seed)
    said = rng.normal(0, 1.5, pairs)
    right = rng.random(pairs) < 1 / (1 + np.exp(-said))
    return scale * np.where(right, said, -said)


@pytest.mark.model
def test_a_calibrated_panel_is_called_calibrated() -> None:
    """Its error is above 0, and within what chance explains in about 95% of panels."""
    found = [calibration(panel(200, 1.0, seed), seed) for seed in range(100)]
    errors = np.array([one.ece for one in found])
    assert errors.mean() == pytest.approx(np.mean([one.expected for one in found]), abs=0.004)
    assert 0.88 <= np.mean([one.ece <= one.high for one in found]) <= 0.99
    assert 0.88 <= np.mean([one.slope.low <= 1 <= one.slope.high for one in found]) <= 0.99
    assert np.mean([one.debiased == 0 for one in found]) > 0.3, "often chance explains all of it"


def test_a_panel_that_is_too_sure_is_not() -> None:
    found = calibration(panel(400, 3.0, 0))
    assert found.ece > found.high
    assert found.debiased > 0.05
    assert found.slope.high < 1
    assert found.slope.value == pytest.approx(1 / 3, abs=0.1)


def test_what_chance_adds_is_drawn_from_a_seed() -> None:
    logits = panel(100, 1.0, 5)
    assert calibration(logits) == calibration(logits, 0)
    assert calibration(logits).expected != calibration(logits, 1).expected


def test_chance_adds_less_to_more_pairs() -> None:
    few, many = (calibration(panel(pairs, 1.0, 3)).expected for pairs in (100, 1600))
    assert many == pytest.approx(few / 4, rel=0.25)


def test_the_slope_is_the_most_likely_one() -> None:
    logits = panel(300, 2.0, 1)

    def loss(factor: float) -> float:
        return float(np.logaddexp(0, -factor * logits).sum())

    best = slope(logits).value
    assert loss(best) < min(loss(best - 0.01), loss(best + 0.01))


def test_panels_without_doubt_or_without_votes_have_figures() -> None:
    certain, silent = calibration(np.full(20, 9.0)), calibration(np.full(20, np.nan))
    assert np.isfinite(list(certain.model_dump(exclude={"slope"}).values())).all()
    assert np.isfinite([certain.slope.value, silent.slope.value, silent.slope.low]).all()
    assert silent.ece == 0
