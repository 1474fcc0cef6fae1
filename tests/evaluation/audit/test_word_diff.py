"""What a revision changed, word by word."""

from hypothesis import given
from hypothesis import strategies as st

from evaluation.audit.word_diff import MOST_MATCHES, word_diff
from tests.properties import examples


def test_a_diff_in_words() -> None:
    assert word_diff("The cat sat.", "The black cat sat down.") == [
        ("same", "The "), ("ins", "black "), ("same", "cat "), ("del", "sat"), ("ins", "sat down"), ("same", "."),
    ]  # fmt: skip


@examples(200)
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
