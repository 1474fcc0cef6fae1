"""Weights without labels, and what tells that voters agree for another reason than the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.judge.agreement import by_judge, doubts
from evaluation.judge.fitting import fit_agreement, fit_agreement_by_judge
from evaluation.statistics import accuracy, mcnemar

PAIRS = 300
Floats = NDArray[np.float64]


def honest(seed: int, judges: int = 5, ways: int = 3) -> tuple[Floats, list[str]]:
    """Judges who share the truth alone, on pairs of unequal difficulty, each asked in several ways that share its own errors."""
    rng = np.random.default_rng(seed)
    difficulty, skill = rng.uniform(0.3, 1.2, (PAIRS, 1)), np.linspace(0.4, 1.2, judges)
    own = rng.normal(0, 0.7, (PAIRS, judges))
    votes = [difficulty * s + own[:, [k]] + rng.normal(0, 0.5, (PAIRS, ways)) for k, s in enumerate(skill)]
    return np.concatenate(votes, axis=1), [f"judge {k}" for k in range(judges) for _ in range(ways)]


def biased(seed: int) -> tuple[Floats, list[str]]:
    """Six judges, of which four follow one bias, as of length, and two the truth."""
    rng = np.random.default_rng(seed)
    bias, noise = rng.choice([-1.0, 1.0], (PAIRS, 1)), rng.normal(0, 0.8, (PAIRS, 6))
    follows = np.array([1.0, 0.9, 0.8, 0.9, 0.1, 0.2])
    return 0.9 * (1 - follows) + follows * bias + noise, [f"judge {k}" for k in range(6)]


def test_judges_who_share_the_truth_alone_raise_no_doubt() -> None:
    assert sum(bool(doubts(*honest(seed)).of_judges) for seed in range(60)) <= 3


def test_a_bias_that_some_judges_share_is_seen_without_labels() -> None:
    for seed in range(10):
        votes, judges = biased(seed)
        turned = votes * np.random.default_rng(seed).choice([-1.0, 1.0], (PAIRS, 1))
        found = doubts(turned, judges)
        assert "judges share more than one thing" in found.of_judges
        assert found == doubts(votes, judges), "which response is listed first is of no account"
    assert doubts(*biased(0)).of_judges.startswith("judge 4 and judge 5 correlate 0.")


def test_votes_of_one_judge_that_agree_beyond_what_judges_share_are_told() -> None:
    votes, judges = honest(0)
    said = doubts(votes, judges).of_voters
    assert "votes of one judge correlate 0.78, those of different judges 0.30" in said
    assert "agreement_by_judge takes it out" in said
    assert doubts(votes[:, ::3], judges[::3]).of_voters == ""


@pytest.mark.parametrize("judges", [1, 2])
def test_few_judges_cannot_be_told_apart(judges: int) -> None:
    votes, names = honest(1, judges)
    assert f"{judges} judge{'s' * (judges > 1)}, and agreement tells what a judge is worth from 3 on" == (
        doubts(votes, names).of_judges
    )


def test_by_judge_is_no_worse_than_the_majority_where_it_raises_no_doubt() -> None:
    """A weak judge asked in twelve ways, beside four others asked once: it does not count twelve times."""
    won = [0, 0]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        skill = np.array([0.2, 0.8, 0.9, 0.7, 1.0])
        own = skill + rng.normal(0, 1, (PAIRS, 5))
        votes = np.concatenate([own[:, [0]] + rng.normal(0, 0.2, (PAIRS, 12)), own[:, 1:]], axis=1)
        judges = ["weak"] * 12 + ["a", "b", "c", "d"]
        assert doubts(votes, judges).of_judges == ""
        logits, majority = fit_agreement_by_judge(votes, judges=judges).logits(votes), np.sign(votes).sum(1)
        assert accuracy(logits).value > accuracy(fit_agreement(votes).logits(votes)).value + 0.05
        only, other, _ = mcnemar(logits, majority)
        won = [won[0] + only, won[1] + other]
    assert won[0] > 2 * won[1]


def test_the_better_judge_weighs_more_and_one_reliably_wrong_is_turned() -> None:
    rng = np.random.default_rng(4)
    votes = np.array([1.5, 1.0, 0.5, 0.0, -1.0]) + rng.normal(size=(2000, 5))
    weights, _ = by_judge(votes, "abcde")
    assert weights[0] > weights[1] > weights[2] > abs(weights[3])
    assert weights[4] < 0
    assert weights[1] == pytest.approx(-weights[4], rel=0.25)


def test_judges_that_never_meet_are_weighed_by_those_they_meet() -> None:
    """As where one half of the pairs has other judges than the other."""
    votes, judges = honest(2, judges=6, ways=1)
    votes[: PAIRS // 2, :3] = np.nan
    votes[PAIRS // 2 :, 3:] = np.nan
    weights, temperature = by_judge(votes, judges)
    assert np.isfinite([*weights, temperature]).all()
    assert (weights > 0).all()
    assert doubts(votes, judges).of_judges == ""
