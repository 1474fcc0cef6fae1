"""What a reply may win by besides its answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critics.text.lures import LURES, READ, agrees, confidence
from evaluation.audit.word_diff import MOST_MATCHES, word_diff


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is the recipe.",
        "Great question! The sky is blue because ...",
        "You're absolutely right, the earth is flat.",
        "That’s an excellent point.",
        "I completely agree with you.",
        "What a wonderful idea!",
        "**Absolutely!** Let us begin.",
    ],
)
def test_openings_that_agree(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    "text",
    ["The sky is blue.", "Surely not.", "I don't agree.", "It is a great day.", "A great deal of work.", "", "No, you are right to ask."],
)  # fmt: skip
def test_openings_that_do_not(text: str) -> None:
    assert agrees(text) is (text == "A great deal of work.")


def test_boosters_count_for_and_hedges_against_for_each_word() -> None:
    assert confidence("This is clearly true.") == 1 / 4
    assert confidence("Perhaps it might work, I think.") == -3 / 6
    assert confidence("It is definitely, perhaps, so.") == 0
    assert confidence("Of course it works.") == 1 / 4
    assert confidence("") == 0
    assert confidence("word " * READ + "clearly") == 0


def test_every_lure_orders_two_replies() -> None:
    more = {
        "longer": ("long reply", "short"),
        "confident": ("It is clearly so.", "It is so."),
        "agreeable": ("Yes, it is.", "It is."),
        "refusing": ("I can't help with that.", "Here is how."),
    }
    assert {name: amount(more[name][0]) > amount(more[name][1]) for name, amount in LURES.items()} == dict.fromkeys(
        LURES, True
    )


def test_a_diff_in_words() -> None:
    assert word_diff("The cat sat.", "The black cat sat down.") == [
        ("same", "The "), ("ins", "black "), ("same", "cat "), ("del", "sat"), ("ins", "sat down"), ("same", "."),
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab ,.\n<é中", max_size=40), st.text(alphabet="ab ,.\n<é中", max_size=40))
def test_a_diff_holds_both_texts(before: str, after: str) -> None:
    changes = word_diff(before, after)
    assert "".join(text for kind, text in changes if kind != "ins") == before
    assert "".join(text for kind, text in changes if kind != "del") == after


def test_texts_made_to_be_slow_to_compare_are_not_compared() -> None:
    before, after = "!" * 2500, "!?" * 1250
    assert MOST_MATCHES < 2500 * 1250
    assert word_diff(before, after) == [("del", before), ("ins", after)]
    assert word_diff(before, before) == [("same", before)]
    prose = " ".join(f"The {i}th word, and the one after it." for i in range(60))
    assert len(word_diff(prose, prose.replace("30th", "best"))) > 2, "a usual text is compared"
