"""Paragraphs that speak about a response are cut from its ends; a text that says another again is known."""

import pytest

from critics.text.remarks import ECHO, GRAM, echoes, without_remarks

ANSWER = "Boil the egg for seven minutes."
REMARK = "This revised response is shorter and no longer lectures the user."
BEFORE = "user: How do I boil an egg?\n\nassistant: Boil it."


@pytest.mark.parametrize(
    "text",
    [f"{ANSWER}\n\n{REMARK}", f"{REMARK}\n\n{ANSWER}", f"{REMARK}\n\n{ANSWER}\n\n{REMARK}\n\n{REMARK}", ANSWER, f" {ANSWER}\n"],
    ids=["after", "before", "around", "none", "spaces"],
)  # fmt: skip
def test_remarks_at_the_ends_are_cut(text: str) -> None:
    assert without_remarks(text, BEFORE) == ANSWER


@pytest.mark.parametrize(
    "text",
    [
        REMARK,
        f"{ANSWER}\n\n{REMARK}\n\n{ANSWER}",
        f"{ANSWER} {REMARK}",
        "The assistant's reply does not say how long.",
        "This is a clear, concise and friendly reply.",
        "I rewrote the user's last message.",
        "Your response clearly lacks a time.",
        "",
    ],
    ids=["alone", "in-the-middle", "in-the-same-paragraph", "whose", "what-this-is", "a-message", "adverb", "empty"],
)
def test_a_text_with_remarks_elsewhere_is_none(text: str) -> None:
    assert without_remarks(text, BEFORE) is None


@pytest.mark.parametrize(
    "text", ["The response time is short.", "Reply to this letter.", "This is a good egg.", "The user can wait."]
)
def test_what_is_no_remark_stays(text: str) -> None:
    assert without_remarks(text, BEFORE) == text


@pytest.mark.parametrize("word", ["reply", "replies", "response", "responses", "Critique", "revisions"])
def test_where_responses_are_spoken_of_the_text_may_too(word: str) -> None:
    assert without_remarks(REMARK, f"user: What is a good {word}?") == REMARK
    assert without_remarks(REMARK, f"user: What is a good {word}ish?") is None


def words(*numbers: int) -> str:
    return " ".join(f"w{i}" for i in numbers)


def test_an_echo_is_most_of_both_texts() -> None:
    source = words(*range(23))  # 20 n-grams of 4 words
    assert (GRAM, ECHO) == (4, 0.6)
    assert echoes(source, source)
    assert echoes(words(*range(15), *range(100, 108)), source)  # 12 of 20 in common
    assert not echoes(words(*range(14), *range(100, 109)), source)  # 11 of 20
    assert not echoes(words(*range(100)), source)  # the source alone is in the other
    assert not echoes(source, words(*range(100)))


def test_too_few_words_for_an_n_gram_are_no_echo() -> None:
    assert echoes(words(1, 2, 3, 4), words(1, 2, 3, 4))
    assert not echoes("", "")
    assert not echoes("", words(*range(9)))
