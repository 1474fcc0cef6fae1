"""The curve of gold over the distance from the reference: exact points give back what made them, noisy ones within their error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize_scalar

from training.monitor.detectors import gold_curve
from training.monitor.monitor import Monitor
from training.monitor.moves import Check
from training.monitor.overoptimisation import Fit, Form, fit

ALPHA, BETA = 1.2, 0.5
KL = [0.25, 1.0, 2.25, 4.0, 9.0, 16.0]


def gain(kl: float, form: Form) -> float:
    d = math.sqrt(kl)
    return d * (ALPHA - BETA * (math.log(d) if form == "rl" else d))


@pytest.mark.parametrize(
    ("form", "peak"),
    [
        # the slope of d (a - b log d) is a - b log d - b: 0 at exp(a / b - 1) = exp(1.4)
        pytest.param("rl", 4.0552, id="rl"),
        # of d (a - b d) it is a - 2 b d: 0 at a / 2b = 1.2
        pytest.param("best of n", 1.2, id="best-of-n"),
    ],
)
def test_exact_points_give_back_their_curve(form: Form, peak: float) -> None:
    found = fit(KL, [gain(kl, form) for kl in KL], form=form)
    assert found is not None
    assert (found.alpha, found.beta) == pytest.approx((ALPHA, BETA))
    assert found.peak == pytest.approx(peak, abs=1e-4)
    highest = minimize_scalar(lambda d: -found.gain(d), bounds=(0.01, 20), method="bounded").x
    assert highest == pytest.approx(peak, abs=1e-3)
    assert [found.gain(math.sqrt(kl)) for kl in KL] == pytest.approx([gain(kl, form) for kl in KL])
    assert found.gain(0) == 0


@pytest.mark.parametrize("form", ["rl", "best of n"])
def test_weighted_fit_and_its_errors_are_those_of_scipy(form: Form) -> None:
    chance = np.random.default_rng(0)
    errors = np.array([0.1, 0.3, 0.05, 0.2, 0.4, 0.1])
    points = np.array([gain(kl, form) for kl in KL]) + chance.normal(0, 6 * errors)
    found = fit(KL, points, errors.tolist(), form)

    def curve(kl: np.ndarray, a: float, b: float) -> np.ndarray:
        d = np.sqrt(kl)
        return d * (a - b * (np.log(d) if form == "rl" else d))

    best, covariance = curve_fit(curve, np.array(KL), points, sigma=errors, absolute_sigma=False)
    assert found is not None
    assert (found.alpha, found.beta) == pytest.approx(tuple(best), rel=1e-4)
    # these points scatter more than their errors say, so the errors are scaled up, as scipy does it
    assert found.covariance == pytest.approx(covariance, rel=1e-3)


def test_errors_are_not_scaled_down_where_points_lie_on_the_curve() -> None:
    exact = fit(KL, [gain(kl, "rl") for kl in KL], [0.5] * 6)
    assert exact is not None
    assert math.sqrt(exact.covariance[1, 1]) > 0.1


@pytest.mark.parametrize(
    ("alpha", "beta", "form", "peak"),
    [
        pytest.param(1.0, 0.0, "rl", math.inf, id="straight"),
        pytest.param(1.0, -1.0, "best of n", math.inf, id="bends-up"),
        pytest.param(-1.0, 1.0, "best of n", 0.0, id="only-falls"),
        pytest.param(9e9, 1e-9, "rl", math.exp(700), id="far-off"),
    ],
)
def test_a_curve_that_does_not_turn_down_has_no_peak(alpha: float, beta: float, form: Form, peak: float) -> None:
    assert Fit(form, alpha, beta, np.zeros((2, 2)), 4).peak == peak


@pytest.mark.parametrize(
    ("kl", "gains"),
    [
        pytest.param(KL[:3], [1.0, 2.0, 3.0], id="three-points"),
        pytest.param([0.0, -0.1, *KL[:3]], [0.0, 0.0, 1.0, 2.0, 3.0], id="no-distance"),
        pytest.param([4.0] * 6, [1.0, 1.1, 1.0, 1.1, 1.0, 1.1], id="one-distance"),
        pytest.param(KL, [1.0, math.nan, math.nan, math.nan, 1.0, 1.0], id="not-measured"),
    ],
)
def test_too_little_to_tell(kl: list[float], gains: list[float]) -> None:
    assert fit(kl, gains) is None


def test_the_slope_is_judged_with_its_error() -> None:
    """Slope at d = e: a - b (1 + 1) = 1 - 2 = -1; gradient (1, -2), so with variances 0.04 and 0.01 its error is
    sqrt(0.04 + 4 * 0.01) = 0.2828. t = -3.54 with 4 degrees of freedom: P = 0.0121."""
    found = Fit("rl", 1.0, 1.0, np.diag([0.04, 0.01]), 4)
    assert found.falls(math.e, 0.0125)
    assert not found.falls(math.e, 0.0115)
    assert not found.falls(0.5, 0.4)


def checks(golds: list[float], prompts: int = 64, spread: float = 0.03) -> list[Check]:
    chance = np.random.default_rng(0)
    kl = [0.0, *KL][: len(golds)]
    rows = [gold + chance.normal(0, spread, prompts) for gold in golds]
    return [
        Check(i, {"proxy": i, "gold": float(row.mean()), "kl": k}, {}, {"gold": row.tolist()})
        for i, (k, row) in enumerate(zip(kl, rows, strict=True))
    ]


def test_the_monitor_tells_of_a_peak_ahead_and_of_one_behind() -> None:
    """a = 1.2 and b = 0.8: the peak is at exp(0.5) = 1.65, KL 2.7, between the checks at 2.25 and 4."""
    golds = [0.0, *(math.sqrt(k) * (1.2 - 0.8 * math.log(math.sqrt(k))) for k in KL)]
    monitor = Monitor()
    told = [[s.text for s in monitor.see(c).alerts if s.detector == "predicted peak"] for c in checks(golds)]
    assert [bool(texts) for texts in told] == [False, False, False, False, True, True, True]
    assert "gold's peak is behind: the curve through 5 checks turns down at sqrt(KL) 1.6" in told[4][0]
    assert "and the policy is at 2.00 (KL 4 nats)" in told[4][0]


def test_a_curve_that_still_rises_is_not_told() -> None:
    golds = [0.0, *(gain(k, "rl") for k in KL[:5])]
    monitor = Monitor()
    assert all(s.detector != "predicted peak" for c in checks(golds) for s in monitor.see(c).alerts)
    curve = gold_curve(checks(golds))
    assert curve is not None
    assert curve.peak > 3
