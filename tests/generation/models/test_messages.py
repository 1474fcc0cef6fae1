"""Messages as templates take them: tools for those that know none, thoughts at their place, and what a rendering must show."""

import json
from typing import Any

import pytest

from constitution.records import Function, Message, ToolCall
from generation.models.messages import (
    ThoughtsPlace,
    check_calls,
    check_visible,
    fields,
    thoughts_block,
    with_thoughts,
    with_tools_described,
    without_calls,
)  # fmt: skip

LOOK = {"type": "function", "function": {"name": "look", "arguments": {"at": "größe"}}}
TOOL = {"type": "function", "function": {"name": "look"}}
MARKS = ("[[", "]]")
TAGS = ThoughtsPlace(marks=("<think>", "</think>"))


def test_a_message_has_the_keys_that_are_set() -> None:
    assert fields(Message(role="user", content="a")) == {"role": "user", "content": "a"}
    called = Message(role="assistant", content="", tool_calls=(ToolCall(function=Function(name="f", arguments={})),))
    assert fields(called)["content"] == ""
    assert fields(called)["tool_calls"][0]["function"]["name"] == "f"
    given = {"role": "tool", "content": None}
    assert fields(given) == given
    assert fields(given) is not given
    with pytest.raises(ValueError, match="role 'critic': allowed: assistant, system, tool, user"):
        fields({"role": "critic"})


def test_a_template_without_tools_has_calls_and_results_as_text() -> None:
    text = '<tool_call>\n{"name": "look", "arguments": {"at": "größe"}}\n</tool_call>'
    call = {"role": "assistant", "content": "I look.", "tool_calls": [LOOK, LOOK], "name": "x"}
    assert without_calls(call) == {"role": "assistant", "content": f"I look.\n{text}\n{text}", "name": "x"}
    assert without_calls({**call, "content": "", "tool_calls": [LOOK]})["content"] == text
    assert without_calls({"role": "tool", "content": "5"}) == {"role": "user", "content": "Tool result: 5"}
    assert without_calls({"role": "tool", "content": None}) == {"role": "user", "content": "Tool result: "}
    plain = {"role": "assistant", "content": "a"}
    assert without_calls(plain) is plain


def test_tools_are_described_in_the_system_message() -> None:
    user = {"role": "user", "content": "a"}
    described, kept = with_tools_described([user], [TOOL, TOOL])
    assert (described["role"], kept) == ("system", user)
    lines = described["content"].splitlines()
    assert [json.loads(line) for line in lines[1:3]] == [TOOL, TOOL]
    assert "<tool_call>" in lines[3]
    there = with_tools_described([{"role": "system", "content": "Be kind.", "name": "x"}, user], [TOOL, TOOL])
    assert there == [{"role": "system", "content": f"Be kind.\n\n{described['content']}", "name": "x"}, user]


def test_a_call_that_is_left_out_or_would_end_early_is_told() -> None:
    def chat(**arguments: Any) -> list[dict[str, Any]]:
        return [
            {"role": "user"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]},
        ]

    check_calls(chat(at="left", to="mountain"), "to the mountain")
    check_calls(chat(at=1), "no word of four letters to look for")
    check_calls(chat(at="a </tool_call> mountain"), "[call] mountain tool_call")
    with pytest.raises(ValueError, match="leaves out a tool call"):
        check_calls(chat(at="left", to="mountain"), "left")
    with pytest.raises(ValueError, match="hold </tool_call>"):
        check_calls(chat(at="a </tool_call> mountains"), "<tool_call> mountains tool_call </tool_call>")


def test_every_role_that_is_asked_about_must_be_seen() -> None:
    chat = [
        {"role": "system", "content": "Be EXTREMELY kind."},
        {"role": "user", "content": None},
        {"role": "user", "content": "ok"},
    ]
    check_visible(chat, "be extremely", frozenset({"system", "user"}))
    check_visible(chat, "nothing", frozenset({"user"}))
    with pytest.raises(ValueError, match="leaves out a message of the system's"):
        check_visible(chat, "Be kind", frozenset({"system"}))
    long = [{"role": "user", "content": f"word {'x ' * 250}unseenword"}]
    check_visible(long, "word", frozenset({"user"}))


def test_thoughts_are_a_whole_block_at_the_beginning() -> None:
    found = thoughts_block(" \n<think>a\nb</think>c</think>", TAGS)
    assert found
    assert found.groups() == ("a\nb", "c</think>")
    assert thoughts_block("so <think>a</think>", TAGS) is None
    assert thoughts_block("<think>a", TAGS) is None
    assert thoughts_block("<think>a</think>", ThoughtsPlace("reasoning")) is None


@pytest.mark.parametrize(
    ("place", "is_last", "given", "written"),
    [
        (ThoughtsPlace("thinking"), False, {"reasoning_content": "t", "content": "c"}, {"thinking": "t", "content": "c"}),
        (ThoughtsPlace("thinking", TAGS.marks), True, {"content": "<think>\nt\n</think>\n\nc"}, {"thinking": "t", "content": "c"}),
        (ThoughtsPlace(), True, {"reasoning_content": "t", "content": "c"}, {"content": "c"}),
        (TAGS, True, {"reasoning_content": "t", "content": "c"}, {"content": "[[\nt\n]]\n\nc"}),
        (TAGS, True, {"content": "<think>t</think> c"}, {"content": "[[t]] c"}),
        (TAGS, False, {"content": "<think>t</think> c"}, {"content": "[[t]] c"}),
        (TAGS, True, {"content": "<think>t"}, {"content": "<think>t"}),
        (TAGS._replace(is_dropped=True), True, {"content": "<think>t</think>\nc"}, {"content": "[[\nt\n]]\n\nc"}),
        (TAGS._replace(is_dropped=True), False, {"content": "<think>t</think>\nc"}, {"content": "c"}),
        (TAGS, True, {"content": "c", "reasoning_content": ""}, {"content": "c"}),
        (TAGS, True, {"content": None, "reasoning_content": "t"}, {"content": "[[\nt\n]]\n\n"}),
    ],
)  # fmt: skip
def test_thoughts_stand_where_the_template_has_them(
    place: ThoughtsPlace, is_last: bool, given: dict[str, Any], written: dict[str, Any]
) -> None:
    assert with_thoughts({"role": "assistant", **given}, place, MARKS, is_last) == {"role": "assistant", **written}


def test_nobody_else_thinks() -> None:
    said = {"role": "user", "content": "<think>a</think>b", "reasoning_content": "t"}
    assert with_thoughts(said, TAGS, MARKS, True) == {"role": "user", "content": "<think>a</think>b"}
