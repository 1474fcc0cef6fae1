"""Measures of responses, on numbers derived by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import texts
from evaluation.texts import MEASURES, correlation, distinct, distinct_interval, grams, means, novelty, per_response

CORPUS = {"distinct_1", "distinct_2", "distinct_3", "novelty"}
OUTSIDE = {"tokens", "truncated", "unanswered", "variety_words", "variety_vectors"}


def test_every_measure_has_a_name_and_a_meaning() -> None:
    assert set(per_response("A word.")) | CORPUS | OUTSIDE == set(MEASURES)
    assert all(measure.meaning and measure.unit for measure in MEASURES.values())


def test_measures_of_one_response() -> None:
    # 10 words; boosters: certainly; hedges: perhaps, i think; marks: one bold, one "!"
    found = per_response("Certainly **so**! Perhaps not, I think, but who ever asked.")
    assert found == pytest.approx(
        {"words": 10, "repetition": 0, "refusal": 0, "unsure": 0, "certainty": 10, "hedging": 20, "agreement": 0, "markup": 20}
    )  # fmt: skip


def test_each_sign_is_seen() -> None:
    assert per_response("I'm sorry, but I can't help with that.")["refusal"] == 1
    assert per_response("You're absolutely right about this.")["agreement"] == 1
    assert per_response("I don't know.")["unsure"] == 1
    assert per_response("go on go on go on go on")["repetition"] == pytest.approx(2 / 3)
    assert per_response("漢字かな")["words"] == 4
    assert per_response("") == dict.fromkeys(per_response(""), 0.0)


def test_a_very_long_reply_is_rated_by_the_part_that_is_read() -> None:
    text = "clearly " * 2_500 + "word " * 10_000  # 20,000 characters of boosters, then what is not looked at
    assert per_response(text)["words"] == 12_500
    assert per_response(text)["certainty"] == pytest.approx(100)


def test_distinct_counts_different_grams() -> None:
    responses = ["a b a b", "A c"]
    assert distinct(responses, 1) == pytest.approx(3 / 6)
    assert distinct(responses, 2) == pytest.approx(3 / 4)  # ab ba ab, ac: no gram from b to a across responses
    assert np.isnan(distinct(["a b"], 3))
    assert np.isnan(distinct([], 1))


def test_distinct_at_an_amount_of_text_cuts_every_reply_alike() -> None:
    responses = ["a b c d e f", "g", "h h h"]
    # 5 words: 2 of the first, the only one of the second, 2 of the third: a b g h h
    assert distinct(responses, 1, words=5) == pytest.approx(4 / 5)
    # 6 words: the one left goes to the first that has more: a b c g h h
    assert distinct(responses, 1, words=6) == pytest.approx(5 / 6)
    assert distinct(responses, 1, words=100) == distinct(responses, 1)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 60))
def test_the_cut_keeps_exactly_the_amount_that_there_is(sizes: list[int], words: int) -> None:
    cut = [len(text) for text in texts._cut([["w"] * size for size in sizes], words)]
    assert sum(cut) == min(words, sum(sizes))
    assert all(kept <= size for kept, size in zip(cut, sizes, strict=True))
    shortened = [kept for kept, size in zip(cut, sizes, strict=True) if kept < size]
    assert not shortened or max(cut) <= min(shortened) + 1, "nobody keeps more than one word more than who is cut"


def test_a_talkative_policy_is_not_taken_for_a_monotonous_one() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(300)]
    short = [" ".join(rng.choice(vocabulary, 20)) for _ in range(50)]
    long = [" ".join(rng.choice(vocabulary, 80)) for _ in range(50)]
    assert distinct(short, 1) > 3 * distinct(long, 1), "all of the text: the longer one loses for its length"
    amount = min(texts.total_words(short), texts.total_words(long))
    assert distinct(long, 1, amount) == pytest.approx(distinct(short, 1, amount), rel=0.05)


@pytest.mark.model
def test_the_interval_of_distinct_covers_what_other_replies_give() -> None:
    """Of the same source, 200 samples of responses: about 95% of the intervals hold the mean of all samples."""
    rng = np.random.default_rng(1)
    p = 1 / np.arange(1, 201)
    samples = [[" ".join(map(str, rng.choice(200, 12, p=p / p.sum()))) for _ in range(30)] for _ in range(200)]
    found = [distinct_interval(sample, 2, 300) for sample in samples]
    middle = float(np.mean([estimate.value for estimate in found]))
    assert 0.88 <= np.mean([estimate.low <= middle <= estimate.high for estimate in found]) <= 0.995


def test_replies_to_one_prompt_are_left_out_together() -> None:
    """20 prompts with 2 responses of 4 words each, in whatever order: leaving out one prompt leaves 152 words, and cuts none."""
    drawn = np.random.default_rng(0).integers(0, 40, (20, 4))
    said = [" ".join(f"w{word}" for word in words) for words in drawn]
    blocks = distinct_interval([text for text in said for _ in "ab"], 1, None, [i for i in range(20) for _ in "ab"])
    assert blocks == distinct_interval(said + said, 1, None, [*range(20), *range(20)])
    assert blocks.low < distinct_interval([text for text in said for _ in "ab"], 1).low, "what stands twice is not new"


def test_novelty_is_what_the_reference_does_not_have() -> None:
    reference = grams(["the cat sat on the mat"])
    assert len(reference) == 3
    assert novelty(["The cat sat on the mat."], reference) == 0
    assert novelty(["the cat sat on a mat"], reference) == pytest.approx(2 / 3)
    assert novelty(["too short"], reference) != novelty(["too short"], reference), "NaN: nothing to say"


def test_means_have_intervals_and_the_same_seed_gives_the_same() -> None:
    rows = [{"refusal": float(i < 20)} for i in range(100)]
    found = means(rows)["refusal"]
    assert found.value == pytest.approx(0.2)
    # the normal approximation: 1.96 sqrt(0.2 * 0.8 / 100) = 0.078
    assert (found.low, found.high) == pytest.approx((0.122, 0.278), abs=0.011)
    assert means(rows)["refusal"] == found
    assert means(rows, seed=1)["refusal"] != found
    assert means([]) == {}


def test_several_replies_to_a_prompt_are_one_draw() -> None:
    """Ten equal responses to each of 10 prompts tell no more than one to each."""
    once = [{"refusal": float(i < 5)} for i in range(10)]
    often = [row for row in once for _ in range(10)]
    clusters = [f"p{i}" for i in range(10) for _ in range(10)]
    assert means(often, clusters=clusters)["refusal"] == means(once)["refusal"]
    alone = means(often)["refusal"]
    assert alone.high - alone.low < 0.5 * (means(once)["refusal"].high - means(once)["refusal"].low)


def test_rates_are_pooled_over_words() -> None:
    rows = [{"words": 3.0, "certainty": 100.0}, {"words": 297.0, "certainty": 0.0}]
    assert means(rows)["certainty"].value == pytest.approx(1.0)  # 3 boosters in 300 words
    assert means(rows)["words"].value == 150


def test_rows_with_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"row 1: has words; row 0 has words, refusal; all need the same"):
        means([{"words": 1.0, "refusal": 0.0}, {"words": 1.0}])


def test_correlation_of_rewards_with_lengths() -> None:
    assert correlation([1, 2, 3, 10], [5, 6, 70, 800]) == pytest.approx(1)
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6
    assert correlation([1, 2, float("nan"), 3, 4], [20, 10, 99, 40, 30]) == pytest.approx(0.6)
    for rewards, lengths in [([], []), ([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, float("inf")], [1, 2, 3])]:
        assert np.isnan(correlation(rewards, lengths))
