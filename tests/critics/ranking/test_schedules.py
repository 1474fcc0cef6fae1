"""Each schedule on a judge that is always right, and the fit they go by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from critics.ranking import bradley_terry
from critics.ranking.bradley_terry import PRIOR, Index
from critics.ranking.schedules import Table, adaptive, knockout, swiss


def table(n: int, logits: dict[Index, float]) -> Table:
    """The candidates' comparisons so far; all others are open."""
    every = [(a, b) for a in range(n) for b in range(a + 1, n)]
    return Table(n, tuple(pair for pair in every if pair not in logits), frozenset(logits), logits)


def later_wins(pair: Index) -> float:
    return float(pair[0] - pair[1])


odds = st.floats(-60, 60, allow_nan=False)
games = st.dictionaries(st.sampled_from([(a, b) for a in range(5) for b in range(a + 1, 5)]), odds)


@given(games)
def test_the_fit_is_the_most_probable(logits: dict[Index, float]) -> None:
    fit = bradley_terry.fit(5, logits)
    pull = -fit.mean / PRIOR**2
    information = np.eye(5) / PRIOR**2
    residuals = {p: expit(z) - expit(fit.mean[p[0]] - fit.mean[p[1]]) for p, z in logits.items()}
    # the dispersion is of the plain fit: read it off the covariance, and both must agree with it
    free = np.zeros((5, 5))
    gain = np.zeros(5)
    for (a, b), residual in residuals.items():
        won = expit(fit.mean[a] - fit.mean[b])
        contrast = np.zeros(5)
        contrast[a], contrast[b] = 1, -1
        free += won * (1 - won) * np.outer(contrast, contrast)
        gain += residual * contrast
    precision = np.linalg.inv(fit.covariance)
    dispersion = np.trace(free) / np.trace(precision - information) if np.trace(free) else 1.0
    assert 0 < dispersion < 3
    assert np.allclose(precision, free / dispersion + information)
    assert np.allclose(gain / dispersion + pull, 0, atol=1e-6)


def test_it_agrees_with_a_general_optimiser() -> None:
    logits = {(0, 1): 1.0, (1, 2): -0.5, (0, 2): 2.0}
    fit = bradley_terry.fit(3, logits)

    def scatter(x: np.ndarray) -> float:
        return sum((expit(z) - (p := expit(x[a] - x[b]))) ** 2 / (p * (1 - p)) for (a, b), z in logits.items())

    def loss(x: np.ndarray, dispersion: float) -> float:
        terms = ((expit(z), x[a] - x[b]) for (a, b), z in logits.items())
        entropy = sum(-p * np.log(expit(d)) - (1 - p) * np.log(expit(-d)) for p, d in terms)
        return float(entropy / dispersion + x @ x / (2 * PRIOR**2))

    tosses = minimize(loss, np.zeros(3), args=(1.0,), tol=1e-10).x
    free = np.zeros((3, 3))
    for a, b in logits:
        contrast = np.eye(3)[a] - np.eye(3)[b]
        free += (p := expit(tosses[a] - tosses[b])) * (1 - p) * np.outer(contrast, contrast)
    determined = np.trace(np.linalg.solve(free + np.eye(3) / PRIOR**2, free))
    assert 0 < determined < 2, "strengths, less one as only differences are compared, less what the prior says"
    dispersion = (8 + scatter(tosses)) / (11 - determined)
    assert fit.mean == pytest.approx(minimize(loss, np.zeros(3), args=(dispersion,), tol=1e-10).x, abs=1e-4)


@given(games)
def test_exchanging_the_sides_of_every_comparison_mirrors_the_fit(logits: dict[Index, float]) -> None:
    forward = bradley_terry.fit(5, logits)
    backward = bradley_terry.fit(5, {pair: -z for pair, z in logits.items()})
    assert np.allclose(forward.mean, -backward.mean, atol=1e-6)
    assert np.allclose(forward.covariance, backward.covariance, rtol=1e-4, atol=1e-6)


def test_comparisons_that_agree_leave_less_doubt() -> None:
    pair = np.array([0]), np.array([2])
    unknown = bradley_terry.fit(3, {}).doubt(*pair)
    one = bradley_terry.fit(3, {(0, 1): 1.0, (1, 2): 1.0})
    two = bradley_terry.fit(3, {(0, 1): 1.0, (1, 2): 1.0, (0, 2): 2.0})
    clash = bradley_terry.fit(3, {(0, 1): 1.0, (1, 2): 1.0, (0, 2): -2.0})
    assert unknown == 0.5 > one.doubt(*pair) > two.doubt(*pair)
    assert clash.doubt(*pair) > one.doubt(*pair)
    tied = bradley_terry.fit(3, {(0, 1): 0.0, (1, 2): 0.0, (0, 2): 0.0})
    circle = bradley_terry.fit(3, {(0, 1): 2.0, (1, 2): 2.0, (0, 2): -2.0})
    assert np.allclose(tied.mean, circle.mean)
    assert circle.covariance[0, 0] > tied.covariance[0, 0]


def test_swiss_neighbours_meet_and_never_twice() -> None:
    logits: dict[Index, float] = {}
    while batch := swiss(table(6, logits), bradley_terry.fit(6, logits), 0):
        assert not set(batch) & set(logits)
        assert len({candidate for pair in batch for candidate in pair}) == 2 * len(batch)
        logits |= {pair: later_wins(pair) for pair in batch}
    assert len(logits) == 15
    strong = swiss(
        table(6, {}), bradley_terry.fit(6, {(a, b): later_wins((a, b)) for a in range(6) for b in range(a)}), 0
    )
    assert strong == [(4, 5), (2, 3), (0, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_who_sat_out_plays_next(seed: int) -> None:
    first = swiss(table(9, {}), bradley_terry.fit(9, {}), seed)
    logits = dict.fromkeys(first, 0.0)
    second = swiss(table(9, logits), bradley_terry.fit(9, logits), seed)
    assert len(first) == 4
    assert {candidate for pair in (*first, *second) for candidate in pair} == {*range(9)}


def test_the_first_swiss_round_is_drawn_by_lot() -> None:
    fit = bradley_terry.fit(8, {})
    assert len({tuple(swiss(table(8, {}), fit, seed)) for seed in range(5)}) == 5


def test_from_an_undecided_match_the_one_drawn_first_advances() -> None:
    drawn = [int(i) for i in np.random.default_rng(0).permutation(4)]
    first, second, third, fourth = drawn
    undecided = {(min(a, b), max(a, b)): 0.0 for a, b in ((first, second), (third, fourth))}
    ready, _ = knockout(table(4, undecided), 0)
    assert ready == [(min(first, third), max(first, third)), (min(second, fourth), max(second, fourth))]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 8, 13, 16])
@pytest.mark.parametrize("seed", range(3))
def test_a_knockout_ends_with_the_best_and_the_worst(n: int, seed: int) -> None:
    logits: dict[Index, float] = {}
    while True:
        ready, played = knockout(table(n, logits), seed)
        assert played == set(logits)
        if not ready:
            break
        logits |= {pair: later_wins(pair) for pair in ready}
    assert len(logits) == max(n - 1, 0) + max(n // 2 - 1, 0)
    # only the best never lost, and the worst, unless it sat out the first round, never won
    winners = {b for _, b in logits}
    losers = {a for a, _ in logits}
    assert winners - losers == ({n - 1} if n > 1 else set())
    assert n % 2 or losers - winners == ({0} if n else set())


def test_adaptive_asks_what_is_most_in_doubt() -> None:
    # 0 and 1 tie at the top, 2 is far below, 3 farther
    logits = {(0, 2): 3.0, (1, 2): 3.0, (2, 3): 3.0}
    assert adaptive(table(4, logits), bradley_terry.fit(4, logits), False, 0) == [(0, 1)]


@pytest.mark.parametrize(("extremes", "asked"), [(False, [[(2, 3)]]), (True, [[(0, 1)], [(4, 5)]])])
def test_adaptive_for_the_extremes_leaves_the_middle_alone(extremes: bool, asked: list[list[Index]]) -> None:
    # 0 a little above 1, both far above the tie of 2 and 3, and those far above 4, a little above 5
    logits = dict.fromkeys(((1, 2), (1, 3), (2, 4), (3, 4)), 3.0) | dict.fromkeys(((0, 2), (0, 3), (2, 5), (3, 5)), 4.0)
    assert adaptive(table(6, logits), bradley_terry.fit(6, logits), extremes, 0) in asked


def test_a_batch_is_a_quarter_and_names_nobody_twice() -> None:
    for n, size in ((2, 1), (4, 1), (8, 2), (16, 4)):
        for extremes in (False, True):
            batch = adaptive(table(n, {}), bradley_terry.fit(n, {}), extremes, 0)
            assert len(batch) == size
            assert len({candidate for pair in batch for candidate in pair}) == 2 * size


def test_what_is_doubted_of_hard_voters_is_nearly_what_is_wrong() -> None:
    """One toss for each pair of 8 candidates: without degrees of freedom the residuals seem smaller than they are."""
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(8, 1)
    doubt, wrong = [], []
    for _ in range(200):
        strengths = rng.normal(0, 1.5, 8)
        won = rng.random(28) < expit(strengths[first] - strengths[second])
        fit = bradley_terry.fit(
            8, {(int(a), int(b)): 9.0 if w else -9.0 for a, b, w in zip(first, second, won, strict=True)}
        )
        doubt.append(fit.doubt(first, second).mean())
        wrong.append(
            (np.sign(fit.mean[first] - fit.mean[second]) != np.sign(strengths[first] - strengths[second])).mean()
        )
    assert np.mean(wrong) - 0.05 < np.mean(doubt) <= np.mean(wrong)
