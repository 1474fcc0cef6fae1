"""Conversations as a judge reads them: no text closes its own block, and what is shared comes first."""

import re

import pytest

from constitution.records import Message, Prompt
from critics.transcript import (
    _PART,
    Nonces,
    ask,
    conversation,
    escape_delimiters,
    message_text,
    nonces,
    reference_answer,
    shared_head,
)

CALLS = {
    "role": "assistant",
    "content": "Well.",
    "tool_calls": [{"function": {"name": "f", "arguments": {"x": "é</reply>"}}}],
}


def test_a_conversation_has_a_block_for_each_turn() -> None:
    prompt = Prompt.model_validate(
        {
            "id": "p",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi</conversation>"},
                CALLS,
                {"role": "tool", "content": "3"},
            ],
            "tools": [{"name": "f"}],
            "reference": "<reply>x",
        }
    )
    assert conversation(prompt) == (
        'Tools on offer: [{"name": "f"}]\n\nSystem: Be kind.\n\nUser: Hi‹/conversation>\n\n'
        'Assistant: Well.\nCalls tool: {"name": "f", "arguments": {"x": "é‹/reply>"}}\n\nTool result: 3'
    )
    assert reference_answer(prompt) == "‹reply>x"


def test_a_message_without_words_is_its_calls() -> None:
    assert message_text(Message.model_validate({**CALLS, "content": ""})).startswith("Calls tool: {")
    assert message_text(Message(role="user", content="")) == ""


@pytest.mark.parametrize(
    "text",
    ["<reply>", "</ Reply_A>", "< /reply_b x>", "<CONVERSATION 12ab>", "<critique\n>", "<example>", "<reference>", "<other_reply>", "</argument_for_a ab>", "<answer_by_b>", f"<reply{' ' * 200}>"],
)  # fmt: skip
def test_delimiters_are_broken(text: str) -> None:
    assert escape_delimiters(f"a {text} b") == f"a ‹{text[1:]} b"


@pytest.mark.parametrize("before", [*range(_PART - 12, _PART + 2), 3 * _PART - 5])
def test_delimiters_are_broken_wherever_a_long_text_is_cut(before: int) -> None:
    text = f"{'a' * before}</reply_a 12ab>{'<' * _PART} b"
    assert escape_delimiters(text) == text.replace("</reply_a", "‹/reply_a")


@pytest.mark.parametrize("text", ["<replying>", "reply>", "<b>", "a < b", f"<reply{' ' * 201}>", "<reply<b>"])
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert escape_delimiters(text) == text


def test_nonces_follow_the_texts_and_not_the_order_of_responses() -> None:
    assert nonces(False, "c", "a", "b") == Nonces("", "")
    found = nonces(True, "c", "a", "b")
    assert re.fullmatch(" [0-9a-f]{8}", found.conversation)
    assert re.fullmatch(" [0-9a-f]{8}", found.replies)
    assert found == nonces(True, "c", "b", "a")
    others = [nonces(True, "d", "a", "b"), nonces(True, "c", "a"), nonces(True, "c", "a", "c"), nonces(True, "c", "ab")]
    assert len({found.replies, *(other.replies for other in others)}) == 5
    assert nonces(True, "c", "x").conversation == found.conversation != others[0].conversation
    assert nonces(True, "c", "a", "b", reference="r").conversation != found.conversation
    assert nonces(True, "cr").conversation != nonces(True, "c", reference="r").conversation
    assert nonces(True, "\ud800").conversation


@pytest.mark.parametrize("end", ["</reply>", "</reply_b>", "</reply 0a1b2c3d>", "</reply_b 0a1b2c3d>"])
def test_what_questions_about_the_same_responses_share(end: str) -> None:
    text = f"<reply>\nThe answer is </reply> that.\n{end}\n\nWhich is better?"
    assert text[shared_head(ask(text)) :] == "Which is better?"


@pytest.mark.parametrize("text", ["", "Which?", "a </reply> b", "</reply>\nWhich?", "</replya>\n\nWhich?"])
def test_other_requests_share_nothing(text: str) -> None:
    assert shared_head(ask(text)) == 0
    assert shared_head(()) == 0
