"""Win rates: by hand, by simulation, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from evaluation.policy.winrate import PENALTY, controlled, fit, outcomes, paired, win_rate, win_rates
from evaluation.statistics import share
from tests.properties import examples


def test_outcomes() -> None:
    assert outcomes([2.0, -0.1, 0.0, None, float("nan"), float("inf")]).tolist() == [1, 0, 0.5, 0.5, 0.5, 1]
    assert outcomes([]).tolist() == []


def test_a_win_rate_by_hand() -> None:
    found = win_rate([1] * 60 + [0] * 30 + [0.5] * 10)
    assert found.value == pytest.approx(0.65)
    # variance 0.6 + 0.1 / 4 - 0.65^2 = 0.2025: 1.96 * 0.45 / 10 = 0.0882
    assert (found.low, found.high) == pytest.approx((0.562, 0.738), abs=0.012)
    assert win_rate([1] * 60 + [0] * 30 + [0.5] * 10) == found


def test_a_unanimous_rate_has_wilsons_interval() -> None:
    assert win_rate([1] * 12) == share(12, 12)
    assert win_rate([0] * 12) == share(0, 12)
    assert win_rate([1] * 12, clusters=[i // 3 for i in range(12)]) == share(4, 4)
    assert controlled([1] * 12, range(12)) == share(12, 12)
    equal = win_rate([0.5] * 12)
    assert (equal.value, equal.low, equal.high) == (0.5, 0.5, 0.5)
    nobody = win_rate([])
    assert np.isnan(nobody.value)
    assert (nobody.low, nobody.high) == (0, 1)


def test_replies_to_one_prompt_are_drawn_together() -> None:
    once = [1, 1, 1, 0, 0, 1, 0, 1]
    often = [value for value in once for _ in range(5)]
    names = [f"prompt {i}" for i in range(8) for _ in range(5)]
    assert win_rate(often, clusters=names) == win_rate(once)


def test_outcomes_outside_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got an outcome of 1.5; allowed: 0 to 1"):
        win_rate([0.2, 1.5])
    with pytest.raises(ValueError, match=r"got an outcome of nan"):
        controlled([float("nan")], [1])
    with pytest.raises(ValueError, match=r"got 2 outcomes and 1 differences of length; there is one for each"):
        controlled([0, 1], [1])


def judged(n: int, quality: float, by_length: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(outcomes, length differences): A writes 40 words more on average, 60 the standard deviation."""
    rng = np.random.default_rng(seed)
    lengths = rng.normal(40, 60, n)
    p = 1 / (1 + np.exp(-(quality + by_length * np.tanh(lengths / 60))))
    return (rng.random(n) < p).astype(float), lengths


def test_length_alone_wins_raw_and_not_when_controlled() -> None:
    won, lengths = judged(500, 0, 5, 0)
    assert win_rate(won).low > 0.65
    found = controlled(won, lengths)
    assert found.low < 0.5 < found.high
    assert found.value == pytest.approx(0.5, abs=0.1)


def test_a_better_policy_stays_better() -> None:
    """A real advantage of 1 in log-odds is 73%, whether or not length plays a part besides."""
    for by_length in (0, 3):
        won, lengths = judged(400, 1, by_length, 1)
        assert controlled(won, lengths).value == pytest.approx(0.731, abs=0.08)
    won, lengths = judged(400, 1, 0, 1)
    assert controlled(won, lengths).value == pytest.approx(win_rate(won).value, abs=0.03)


def test_a_worse_but_longer_policy_is_seen_through() -> None:
    won, lengths = judged(400, -1, 5, 2)
    assert win_rate(won).low > 0.5
    assert controlled(won, lengths).high < 0.5


def test_equal_lengths_leave_the_raw_rate() -> None:
    won = np.array([1.0] * 30 + [0.0] * 12)
    assert controlled(won, np.zeros(42)).value == pytest.approx(30 / 42)
    assert controlled(won, np.zeros(42)).low == pytest.approx(win_rate(won).low, abs=1e-6)


@examples(30)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 0.3]), st.integers(-300, 300)), min_size=2, max_size=30))
def test_the_other_way_round_is_one_minus(rows: list[tuple[float, int]]) -> None:
    won, lengths = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=float)
    for forth, back in [(win_rate(won), win_rate(1 - won)), (controlled(won, lengths), controlled(1 - won, -lengths))]:
        assert (back.value, back.low, back.high) == pytest.approx(
            (1 - forth.value, 1 - forth.high, 1 - forth.low), abs=1e-6
        )
        assert 0 <= forth.low <= forth.high <= 1


def test_the_fit_against_scikit_learn() -> None:
    """Soft outcomes as two weighted rows each; its penalty leaves the intercept alone as ours does."""
    rng = np.random.default_rng(3)
    x, p = np.tanh(rng.normal(0.5, 1, 60)), rng.random(60)
    weights = rng.integers(0, 4, (3, 60)).astype(float)
    for ours, weight in zip(fit(p, x, weights), weights, strict=True):
        model = LogisticRegression(C=1 / PENALTY, tol=1e-10, max_iter=10_000)
        model.fit(
            np.concatenate([x, x])[:, None], np.repeat([1, 0], 60), np.concatenate([weight * p, weight * (1 - p)])
        )
        assert ours == pytest.approx([model.intercept_[0], model.coef_[0, 0]], abs=1e-4)


def test_separated_outcomes_have_finite_rates() -> None:
    """The longer response always wins; nothing but length explains it, however few or extreme the prompts."""
    lengths = np.array([-900.0, -5, -3, 2, 4, 6, 8, 1000])
    found = controlled((lengths > 0).astype(float), lengths)
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert found.low < 0.5 < found.high
    steep = fit(np.array([0.0, 1.0]), np.array([-1e-9, 1e-9]), np.ones((1, 2)))
    assert np.isfinite(steep).all()
    endless = fit(np.array([1.0, 1.0, 0.0]), np.array([0.1, 0.2, 0.3]), np.array([[1.0, 1, 0], [0, 0, 1]]))
    assert endless.tolist() == [[np.inf, 0], [-np.inf, 0]]


@pytest.mark.model
@pytest.mark.parametrize("control", [False, True])
def test_intervals_hold_the_truth_about_95_times_in_100(control: bool) -> None:
    """True rates: 0.66 raw (by the mean over a large sample), sigmoid(0.4) controlled."""
    truth = 1 / (1 + np.exp(-0.4)) if control else judged(200_000, 0.4, 1, 99)[0].mean()
    held = 0
    for seed in range(100):
        won, lengths = judged(80, 0.4, 1, seed)
        found = controlled(won, lengths, seed) if control else win_rate(won, seed)
        held += found.low <= truth <= found.high
    assert 0.90 <= held / 100 <= 0.99


def test_differences_by_prompt() -> None:
    a = [{"words": 10.0, "refusal": 1.0}, {"words": 30.0, "refusal": 0.0}, {"words": 21.0, "refusal": 0.0}]
    b = [{"words": 9.0, "refusal": 1.0}, {"words": 29.0, "refusal": 0.0}, {"words": 20.0, "refusal": 0.0}]
    found = paired(a, b)
    # each response is one word longer: certain, although lengths differ much from prompt to prompt
    assert [found["words"].value, found["words"].low, found["words"].high] == pytest.approx([1, 1, 1])
    assert (found["refusal"].value, found["refusal"].low, found["refusal"].high) == (0, 0, 0)
    back = paired(b, a)["words"]
    assert (back.value, back.low, back.high) == pytest.approx((-1, -1, -1))
    assert paired([], []) == {}
    with pytest.raises(ValueError, match=r"got 3 and 2 rows; row i of both is to be of one prompt"):
        paired(a, b[:2])
    with pytest.raises(ValueError, match=r"got measures words, refusal and words; both need the same"):
        paired(a, [{"words": 1.0}] * 3)


def test_principles_have_their_own_rates() -> None:
    pairs = [{"kind": 0.5, "short": -1.0}, {"kind": 2.0}, {"kind": -1.0, "short": 0.0}, {}]
    rates = win_rates(pairs, clusters=["x", "x", "y", "z"])
    assert rates["kind"].value == pytest.approx(2 / 3)
    assert rates["short"].value == pytest.approx(0.25)  # a loss and a tie, of the two pairs it was asked on
    assert rates["kind"] == win_rate([1, 1, 0], clusters=["x", "x", "y"])


def test_intervals_are_those_of_the_first_seed_unless_another_is_given() -> None:
    dice = np.random.default_rng(3)
    a, b = ([{"words": float(n)} for n in dice.normal(size=40)] for _ in range(2))
    pairs = [{"kind": float(n)} for n in dice.normal(size=997)]
    assert paired(a, b) == paired(a, b, seed=0) != paired(a, b, seed=1)
    assert win_rates(pairs) == win_rates(pairs, seed=0) != win_rates(pairs, seed=1)
