"""One tokenizer for all that counts words."""

import pytest

from constitution.words import ngrams, repetition, word_count, words_of


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a b-c d's", 3), ("  12,5 %  ", 2), ("漢字かな", 4), ("Ärger naïve", 2), ("--- !?", 0)],
)
def test_words_are_counted(text: str, count: int) -> None:
    assert word_count(text) == count


def test_words_are_in_lower_case_and_may_be_the_first_few() -> None:
    assert words_of("Don't stop, 3 Ärger!") == ["don't", "stop", "3", "ärger"]
    assert words_of("one two three", 2) == ["one", "two"]


def test_ngrams_overlap_and_there_are_none_of_a_shorter_text() -> None:
    assert list(ngrams(["a", "b", "c"], 2)) == [("a", "b"), ("b", "c")]
    assert list(ngrams(["a"], 2)) == []


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("a b", 0.0),
        ("a b c", 0.0),
        ("a a a a", 0.5),
        ("go on go on go on go on", 2 / 3),
        ("A b C a B c", 0.25),
    ],
)
def test_repetition_is_the_share_of_grams_seen_before(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)
