"""Which responses are imitated, and what choosing them is worth: numbers worked out by hand, and laws."""

import itertools
import math
import random
from statistics import fmean

import pytest

from constitution.records import Message, Response
from training.best_of.choice import Choice, RewardedSample, choose, expected_best, figures, kl_bound


def scored(*scores: float, texts: tuple[str, ...] = ()) -> list[RewardedSample]:
    """Responses of one prompt in the order of their samples; `one`, `two words`, ... where no texts are given."""
    said = texts or tuple("word " * (i + 1) for i in range(len(scores)))
    return [
        RewardedSample(i, Response(f"p/s{i}", "p", Message(role="assistant", content=text), "sampled", text), score)
        for i, (score, text) in enumerate(zip(scores, said, strict=True))
    ]


def numbers(choice: Choice) -> list[int]:
    return [response.number for response in choice.kept]


@pytest.mark.parametrize(
    ("scores", "keep", "min_gain", "kept", "dropped"),
    [
        pytest.param([1, 4, 2, 3], 1, 0.0, [1], "", id="best"),
        pytest.param([1, 4, 2, 3], 3, 0.0, [1, 3], "", id="the third is under the mean of 2.5"),
        pytest.param([0, 5, 5, 5], 2, 0.0, [1, 2], "", id="equal rewards: the earlier"),
        pytest.param([1, 4, 2, 3], 1, 1.5, [1], "", id="4 beats 2.5 by just enough"),
        pytest.param([1, 4, 2, 3], 1, 1.6, [], "alike", id="by too little"),
        pytest.param([0.1, 0.1, 0.1], 1, 0.0, [], "alike", id="all the same"),
        pytest.param([0.7] * 3, 1, 0.0, [], "alike", id="all the same, and their mean is rounded down"),
        pytest.param([0.9] * 9, 3, 0.0, [], "alike", id="nine of them"),
        pytest.param([7], 1, 0.0, [], "ungraded", id="one is no choice"),
        pytest.param([], 1, 0.0, [], "ungraded", id="none"),
    ],
)
def test_choosing(scores: list[float], keep: int, min_gain: float, kept: list[int], dropped: str) -> None:
    choice = choose(scored(*scores), keep, min_gain)
    assert (numbers(choice), choice.dropped) == (kept, dropped)
    assert choice.mean == pytest.approx(fmean(scores)) if scores else math.isnan(choice.mean)


def test_equal_rewards_are_no_choice_whatever_they_are() -> None:
    chance = random.Random(0)
    for _ in range(500):
        score, count = (
            chance.choice((chance.random(), chance.gauss(0, 1e3), chance.randrange(100) / 10)),
            chance.randint(2, 12),
        )
        choice = choose(scored(*[score] * count), chance.randint(1, count - 1), 0.0)
        assert (choice.kept, choice.dropped) == ((), "alike")


def test_what_is_kept_beats_the_worst() -> None:
    chance = random.Random(1)
    for _ in range(500):
        scores = [chance.choice((0.1, 0.7, 0.9, chance.random())) for _ in range(chance.randint(2, 9))]
        choice = choose(scored(*scores), len(scores) - 1, 0.0)
        assert bool(choice.kept) == (max(scores) > min(scores))
        assert all(one.score > min(scores) for one in choice.kept)


def test_a_text_is_kept_once() -> None:
    choice = choose(scored(0, 3, 3, 2.5, texts=("bad", "good", " good", "fair")), 2, 0.0)
    assert numbers(choice) == [1, 3]


def test_the_order_of_samples_changes_nothing_but_ties() -> None:
    responses = scored(*random.Random(0).sample(range(100), 8))
    for order in itertools.islice(itertools.permutations(responses), 0, 40320, 997):
        assert choose(order, 3, 0.0) == choose(responses, 3, 0.0)


def test_the_best_of_two_of_three() -> None:
    """Of 1, 2, 4 the pairs are (1, 2), (1, 4), (2, 4): their best are 2, 4, 4."""
    assert expected_best([4, 1, 2], 2) == pytest.approx(10 / 3)
    assert expected_best([4, 1, 2], 1) == pytest.approx(7 / 3)
    assert expected_best([4, 1, 2], 3) == 4


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_the_expected_best_is_the_mean_over_all_draws(n: int) -> None:
    scores = [random.Random(n).gauss(0, 1) for _ in range(6)]
    assert expected_best(scores, n) == pytest.approx(fmean(map(max, itertools.combinations(scores, n))))


def exact_kl(responses: int, n: int) -> float:
    """KL of best-of-n from a policy that writes so many responses, all different in reward, equally often.

    The i-th worst is the best of n with probability (i / responses)^n - ((i - 1) / responses)^n.
    """
    best = [(i / responses) ** n - ((i - 1) / responses) ** n for i in range(1, responses + 1)]
    return math.fsum(p * math.log(p * responses) for p in best)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64])
def test_the_bound_is_never_below_the_exact_kl_and_near_it_for_many_responses(n: int) -> None:
    """log 4 - 3 / 4 = 0.6363."""
    assert kl_bound(4) == pytest.approx(0.6363, abs=1e-4)
    for responses in (1, 2, 10, 1000):
        assert exact_kl(responses, n) <= kl_bound(n) + 1e-12
    assert exact_kl(20_000, n) == pytest.approx(kl_bound(n), rel=0.01)
    if n > 1:
        assert exact_kl(2, n) < kl_bound(n) - 0.04


def test_what_choosing_comes_to() -> None:
    """Prompt one: rewards 1, 2, 4, 1 of 1 to 4 words: mean 2, best 4 of 3 words, best of half of them: of two, over the 6 pairs
    (2 + 4 + 1 + 4 + 2 + 4) / 6 = 17 / 6. Prompt two: 5, 5, alike. Prompt three has one reward, which tells nothing.
    """
    prompts = [(responses, choose(responses, 1, 0.0)) for responses in (scored(1, 2, 4, 1), scored(5, 5), scored(9))]
    assert figures(prompts, 4) == {
        "best_of/kl_bound": pytest.approx(math.log(4) - 0.75),
        "best_of/mean": pytest.approx(3.5),
        "best_of/gain": pytest.approx(1.0),
        "best_of/gain_half": pytest.approx((17 / 6 + 5) / 2 - 3.5),
        "best_of/words": pytest.approx(3 / 2.5),
    }
    assert figures(prompts[2:], 4) == {"best_of/kl_bound": pytest.approx(math.log(4) - 0.75)}
