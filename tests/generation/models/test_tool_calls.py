"""Calls of tools are read from what models of several families write; other texts stay text."""

import json
from typing import Any

import pytest

from benchmarks.families import FAMILIES, tokenizer_of
from constitution.records import Function, Message, ToolCall
from generation.models.encoder import Encoder
from generation.models.tool_calls import names_of, parse_tool_calls

CALL = '{"name": "look", "arguments": {"at": "sky"}}'
LOOK = ToolCall(function=Function(name="look", arguments={"at": "sky"}))
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}},
    }
]


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        pytest.param(f"Well.\n<tool_call>\n{CALL}\n</tool_call>", (LOOK,), "Well.", id="tags"),
        pytest.param(f"<tool_call>{CALL}", (LOOK,), "", id="a-tag-that-is-not-closed"),
        pytest.param(CALL, (LOOK,), "", id="an-object"),
        pytest.param(CALL.replace("arguments", "parameters"), (LOOK,), "", id="parameters"),
        pytest.param(f"[TOOL_CALLS] [{CALL}, {CALL}]", (LOOK, LOOK), "", id="a-list-behind-a-token"),
        pytest.param(f" [{CALL}]\n", (LOOK,), "", id="a-list"),
        pytest.param(CALL.replace("look", "hear"), (), CALL.replace("look", "hear"), id="a-tool-that-is-not-offered"),
        pytest.param('{"name": "look"}', (), '{"name": "look"}', id="no-arguments"),
        pytest.param('{"name": ["look"], "arguments": {}}', (), '{"name": ["look"], "arguments": {}}', id="no-name"),
        pytest.param(f"{CALL} is a call", (), f"{CALL} is a call", id="text-behind"),
        pytest.param("[1, 2]", (), "[1, 2]", id="a-list-of-numbers"),
        pytest.param("[" * 100_000, (), "[" * 100_000, id="deep"),
    ],
)
def test_calls_are_read(text: str, calls: tuple[ToolCall, ...], content: str) -> None:
    assert parse_tool_calls(text, ["look"]) == Message(role="assistant", content=content, tool_calls=calls)


def test_json_is_no_call_where_no_tool_is_offered() -> None:
    assert parse_tool_calls(CALL) == Message(role="assistant", content=CALL)


def test_names_of_tools() -> None:
    assert names_of([*TOOLS, {"name": "hear"}, {"type": "web"}]) == {"look", "hear"}


@pytest.mark.parametrize("family", ["qwen2.5", "llama 3.1", "mistral v3", "mistral v7", "granite 3", "chatml"])
@pytest.mark.parametrize("skip", [True, False])
def test_what_is_learnt_is_read_back(family: str, skip: bool) -> None:
    """With the family's control tokens in the text, or without them, as engines leave them out."""
    tokenizer = tokenizer_of(FAMILIES[family])
    asked = Message(role="user", content="Look!")
    (side,) = Encoder(tokenizer).written([asked], [[Message(role="assistant", tool_calls=(LOOK,))]], TOOLS).sides
    text = tokenizer.decode(side.tokens[:-1], skip_special_tokens=skip)
    assert parse_tool_calls(text, names_of(TOOLS)).tool_calls == (LOOK,), json.dumps(text)
