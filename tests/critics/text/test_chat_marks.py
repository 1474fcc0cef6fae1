"""What is left of a chat's format is cut off, and texts that speak of it are left whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critics.text.chat_marks import without_chat_marks
from critics.text.thoughts import split

ENDS = [
    "<|im_end|>",
    "</s>",
    "<|eot_id|>",
    "<end_of_turn>\n",
    "<|end|>",
    "<|endoftext|>\n<|endoftext|>",
    "<｜end▁of▁sentence｜>",
]


@pytest.mark.parametrize(
    "around",
    [
        *(("{}" + end) for end in ENDS),
        "<|im_start|>assistant\n{}",
        "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
        "assistant\n\n{}",
        "<start_of_turn>model\n{}<end_of_turn>",
        "<s> {}</s>",
        "<|assistant|>{}<|end|>\n<|user|>\nAnd then?",
        "{}<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\nThen.",
        "{}</s>[INST] And then? [/INST]",
    ],
)
def test_a_header_an_end_and_what_follows_it_are_cut(around: str) -> None:
    text = "It is <b>so</b>: a[0] < 1."
    assert split(around.format(text)).answer == text


@pytest.mark.parametrize(
    "text",
    [
        "A turn ends with `<|im_end|>`.",
        "```\n<|im_start|>user\nHi<|im_end|>\n```\nis ChatML.",
        "It was <s>always</s> so, and <s>so it was</s>",
        "assistant\nand more",
        "assistant: no",
        "[INST] opens, </s> ends it.",
        "",
    ],
)
def test_a_text_about_the_format_is_left_whole(text: str) -> None:
    assert without_chat_marks(text) == text


@given(
    st.lists(
        st.sampled_from([*ENDS, "<|im_start|>user", "<s>", "assistant\n\n", "[INST]", "so", " ", "\n", "<"]),
        max_size=12,
    )
)
def test_what_is_left_is_a_part_of_the_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert without_chat_marks(text) in text


@pytest.mark.parametrize("text", ["\u200b\u2060", " \u3164\n", "\u2800\u2800", "\ufeff<|im_end|>"])
def test_a_text_that_shows_nothing_is_no_answer(text: str) -> None:
    assert split(text).answer == ""


def test_a_sign_that_shows_is_an_answer() -> None:
    assert [split(text).answer for text in ("\u200b7", "👍\ufe0f", "…")] == ["\u200b7", "👍\ufe0f", "…"]
