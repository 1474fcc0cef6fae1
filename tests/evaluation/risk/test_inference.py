"""Win rates corrected by human labels: that intervals cover, that the judge never costs, and what is claimed."""

import math

import numpy as np
import pytest
import scipy

from critics.ranking.weights import Estimate
from evaluation.risk.inference import Corrected, corrected, interval, powered, rogan_gladen
from evaluation.statistics import Floats, share

ALL = 4000


def population(win: float, agree: float, ties: float = 0.1) -> tuple[Floats, Floats]:
    """(people's outcomes, the judge's): where the judge does not agree, it says either at random."""
    generator = np.random.default_rng(1)
    human = np.where(generator.random(ALL) < ties, 0.5, (generator.random(ALL) < win).astype(float))
    guess = (generator.random(ALL) < 0.6).astype(float)
    return human, np.where(generator.random(ALL) < agree, human, guess)


@pytest.mark.parametrize("win", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("agree", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("labels", [20, 60])
def test_intervals_cover_and_the_judge_never_costs(win: float, agree: float, labels: int) -> None:
    human, judged = population(win, agree)
    generator = np.random.default_rng(2)
    covered, mine, alone = [], [], []
    for _ in range(400):
        drawn = generator.integers(ALL, size=labels + 400)
        few, rest = drawn[:labels], drawn[labels:]
        found = powered(human[few], judged[few], judged[rest])
        whole = interval(found.value, found.variance, labels, labels - 1 - (found.weight > 0))
        covered.append(whole.low <= human.mean() <= whole.high)
        mine.append((found.value - human.mean()) ** 2)
        alone.append((human[few].mean() - human.mean()) ** 2)
    assert np.mean(covered) >= 0.92
    assert np.mean(mine) <= 1.01 * np.mean(alone)
    if agree == 0.9:
        assert np.mean(mine) < 0.75 * np.mean(alone)


def test_a_judge_that_agrees_is_worth_labels_and_one_that_guesses_is_not() -> None:
    generator = np.random.default_rng(3)
    human = (generator.random(500) < 0.6).astype(float)
    same = corrected(human[:60], human[:60], human[60:])
    assert same.weight > 0.7
    assert same.worth > 200
    assert same.agreement.value == 1.0
    assert same.value.high - same.value.low < 0.5 * (same.human.high - same.human.low)
    guess = corrected(
        human[:60], (generator.random(60) < 0.5).astype(float), (generator.random(440) < 0.5).astype(float)
    )
    assert guess.weight == 0.0
    assert guess.worth == 0.0
    assert guess.value == guess.human
    against = corrected(human[:60], 1 - human[:60], 1 - human[60:])
    assert against.weight == 0.0, "a judge that is reliably wrong is not turned round"


def test_a_biased_judge_is_corrected() -> None:
    generator = np.random.default_rng(4)
    human = (generator.random(2000) < 0.4).astype(float)
    judged = np.where(generator.random(2000) < 0.5, 1.0, human)
    found = corrected(human[:200], judged[:200], judged[200:])
    assert found.judge > 0.65
    assert found.value.low <= 0.4 <= found.value.high
    assert found.rogan_gladen is not None
    assert found.rogan_gladen.low <= 0.4 <= found.rogan_gladen.high


def test_rogan_and_gladen_by_sensitivity_and_specificity() -> None:
    human = np.array([1.0] * 10 + [0.0] * 10)
    judged = np.array([1.0] * 8 + [0.0] * 2 + [0.0] * 9 + [1.0])
    others = np.array([1.0] * 45 + [0.0] * 55)
    found = rogan_gladen(human, judged, others)
    assert found is not None
    assert found.value == pytest.approx((0.45 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert rogan_gladen(human, judged[::-1].copy(), others) is None, "verdicts go against people's"
    assert rogan_gladen(human[:10], judged[:10], others) is None, "people all say the same"


def test_the_interval_is_wilsons_where_nothing_else_is_known() -> None:
    assert interval(0.3, 0.0, 1, 0) == share(0.3, 1)
    wide = interval(0.3, 0.3 * 0.7 / 50, 50, 1e9)
    assert (wide.low, wide.high) == pytest.approx((share(15, 50).low, share(15, 50).high), abs=1e-4)
    few = interval(0.3, 0.3 * 0.7 / 50, 50, 5)
    assert few.low < wide.low
    assert interval(1.2, 0.01, 30, 29).value == 1.0
    assert interval(1.0, 0.0, 30, 29).low == pytest.approx(
        1 / (1 + scipy.special.stdtrit(29, 0.975) ** 2 / 30), abs=0.01
    )


def made(low: float, value: float, high: float, labels: int = 50, typical: bool = True) -> Corrected:
    estimate = Estimate(value=value, low=low, high=high)
    return Corrected(
        labels=labels, judged=100, judge=0.5, human=estimate, value=estimate, weight=0.0, rogan_gladen=None,
        agreement=estimate, worth=0.0, needed=None, typical=typical,
    )  # fmt: skip


def test_nothing_is_claimed_beyond_what_labels_show() -> None:
    assert made(0.55, 0.7, 0.8).claim == "A"
    assert made(0.2, 0.3, 0.45).claim == "B"
    assert made(0.45, 0.6, 0.7).claim == ""
    assert made(0.55, 0.7, 0.8, labels=19).claim == ""
    assert made(0.55, 0.7, 0.8, typical=False).claim == ""


def test_how_many_labels_a_claim_would_need() -> None:
    human = np.array([1.0] * 18 + [0.0] * 12)
    found = corrected(human, human, np.array([]))
    assert found.needed is not None
    assert 80 < found.needed < 130, "60% of 100 is just beyond one half"
    more = np.tile(human, math.ceil(found.needed / 30) + 1)
    assert corrected(more, more, np.array([])).claim == "A"
    even = np.array([1.0, 0.0] * 15)
    assert corrected(even, even, np.array([])).needed is None


def test_labels_that_were_not_drawn_at_random_are_noticed() -> None:
    judged, others = np.array([1.0] * 38 + [0.0] * 2), np.array([1.0, 0.0] * 100)
    assert not corrected(judged, judged, others).typical
    assert corrected(others[:40], others[:40], others[40:]).typical


def test_a_corrections_interval_is_as_wide_as_its_values_scatter() -> None:
    dice = np.random.default_rng(3)

    def judged(truth: Floats) -> Floats:
        return np.where(dice.random(len(truth)) < 0.85, truth, 1 - truth)

    found = []
    for _ in range(300):
        human, rest = ((dice.random(size) < 0.6).astype(float) for size in (80, 2000))
        found.append(rogan_gladen(human, judged(human), judged(rest)))
    values, widths = np.array([(one.value, one.high - one.low) for one in found if one]).T
    assert len(values) == 300
    assert widths.mean() == pytest.approx(2 * 1.99 * values.std(), rel=0.15)


@pytest.mark.parametrize(("labels", "rest", "weighed"), [(2, 9, False), (12, 9, True), (12, 1, False), (12, 2, True)])
def test_the_judge_counts_where_there_are_some_of_either(labels: int, rest: int, weighed: bool) -> None:
    human = np.resize([1.0, 0.0], labels)
    assert bool(powered(human, human, np.resize([1.0, 0.0], rest)).weight) is weighed
