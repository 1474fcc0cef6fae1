"""Calls of tools are read from what models of several families write; other texts stay text."""

import json
import re
from typing import Any

import pytest

from benchmarks.families import FAMILIES, tokenizer_of
from constitution.records import Function, Message, ToolCall
from generation.models.encoder import Encoder
from generation.models.tool_calls import offered_by, parse_tool_calls

CALL = '{"name": "look", "arguments": {"at": "sky"}}'
LOOK = ToolCall(function=Function(name="look", arguments={"at": "sky"}))
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
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
        pytest.param(f"{CALL}; {CALL}", (LOOK, LOOK), "", id="one-after-another"),
        pytest.param("[1, 2]", (), "[1, 2]", id="a-list-of-numbers"),
        pytest.param("[" * 100_000, (), "[" * 100_000, id="deep"),
    ],
)
def test_calls_are_read(text: str, calls: tuple[ToolCall, ...], content: str) -> None:
    assert parse_tool_calls(text, TOOLS) == Message(role="assistant", content=content, tool_calls=calls)


def test_json_is_no_call_where_no_tool_is_offered() -> None:
    assert parse_tool_calls(CALL) == Message(role="assistant", content=CALL)


def test_tools_that_are_offered() -> None:
    assert {*offered_by([*TOOLS, {"name": "hear"}, {"type": "web"}])} == {"look", "hear"}


ARGUMENTS = '{"at": "sky"}'
FORMS = {
    "deepseek v3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n```json\n%s\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek v3.1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>%s<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.look:0<|tool_call_argument_begin|>%s<|tool_call_end|>"
    "<|tool_calls_section_end|>",
    "harmony": "<|channel|>commentary to=functions.look <|constrain|>json<|message|>%s<|call|>",
    "harmony, the recipient first": " to=functions.look<|channel|>commentary json<|message|>%s",
    "mistral v11": "[TOOL_CALLS]look[ARGS]%s",
    "mistral with ids": "[TOOL_CALLS]look[CALL_ID]abc123def[ARGS]%s",
    "llama 3.1": "<function=look>%s</function>",
    "hermes": '<tool_call>{"name": "look", "arguments": %s}</tool_call>',
    "granite 3.0": '<|tool_call|>[{"name": "look", "arguments": %s}]',
    "granite 3.1": '<tool_call>[{"name": "look", "arguments": %s}]',
    "phi 4 mini": 'functools[{"name": "look", "arguments": %s}]',
    "internlm": '<|action_start|><|plugin|>\n{"name": "look", "parameters": %s}<|action_end|>',
    "command": '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "look", "parameters": %s}\n]<|END_ACTION|>',
    "nemotron": '<TOOLCALL>[{"name": "look", "arguments": %s}]</TOOLCALL>',
    "hunyuan": '<tool_calls>[{"name": "look", "arguments": %s}]</tool_calls>',
    "minimax m1": '<tool_calls>\n{"name": "look", "arguments": %s}\n</tool_calls>',
}
"""Form -> a call, its arguments as JSON."""
UNQUOTED = {
    "qwen3 coder": "<tool_call>\n<function=look>\n<parameter=at>\n%s\n</parameter>\n</function>\n</tool_call>",
    "glm": "<tool_call>look\n<arg_key>at</arg_key>\n<arg_value>%s</arg_value>\n</tool_call>",
    "minimax m2": '<minimax:tool_call>\n<invoke name="look">\n<parameter name="at">%s</parameter>\n</invoke>\n</minimax:tool_call>',
    "seed": "<seed:tool_call>\n<function=look>\n<parameter=at>%s</parameter>\n</function>\n</seed:tool_call>",
    "deepseek v3.2": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="look">\n<｜DSML｜parameter name="at" string="true">%s'
    "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    "llama 4": "[look(at='%s')]",
    "llama 4 with its marks": "<|python_start|>[look(at='%s')]<|python_end|>",
    "olmo 3": "<function_calls>\nlook(at='%s')\n</function_calls>",
    "lfm 2": "<|tool_call_start|>[look(at='%s')]<|tool_call_end|>",
}
"""Form -> a call, its argument as it is."""
CONTROL = re.compile(r"<｜[^｜]*｜>|<\|\w*\|>|\[TOOL_CALLS\]|\[ARGS\]|\[CALL_ID\]\w*")
"""Control tokens of these families, which engines leave out of texts."""


@pytest.mark.parametrize(("form", "given"), [*((form, ARGUMENTS) for form in FORMS.values()), *((form, "sky") for form in UNQUOTED.values())],
                         ids=[*FORMS, *UNQUOTED])  # fmt: skip
def test_each_form_is_read(form: str, given: str) -> None:
    whole = form % given
    tagged = "DSML" in form or "START_ACTION" in form  # without their marks these are no calls to anybody
    for text in (whole, whole if tagged else CONTROL.sub("", whole)):
        assert parse_tool_calls(text, TOOLS) == Message(role="assistant", tool_calls=(LOOK,)), text
    assert not parse_tool_calls(whole.replace("look", "peer"), TOOLS).tool_calls or "<" in whole
    if not form.startswith(("functools", "[look")):
        spoken = parse_tool_calls(f"Let me look.\n{whole}", TOOLS)
        assert (spoken.content, spoken.tool_calls) == ("Let me look.", (LOOK,))


@pytest.mark.parametrize(
    "form",
    [form for name, form in FORMS.items() if name not in ("granite 3.0", "granite 3.1", "phi 4 mini", "command")],
)
def test_several_calls(form: str) -> None:
    text = "\n".join([form % ARGUMENTS, form % '{"at": "sea", "deep": {"x": [1, "}```"]}}'])
    first, second = parse_tool_calls(text, TOOLS).tool_calls
    assert (first, second.function.arguments) == (LOOK, {"at": "sea", "deep": {"x": [1, "}```"]}})


def test_an_argument_may_hold_the_mark_that_ends_a_call() -> None:
    given = {"at": "a </tool_call> b"}
    text = f"<tool_call>\n{json.dumps({'name': 'look', 'arguments': given})}\n</tool_call> So."
    found = parse_tool_calls(text, TOOLS)
    assert (found.content, found.tool_calls[0].function.arguments) == ("So.", given)


def test_unquoted_arguments_have_the_types_of_the_schema() -> None:
    properties = {"at": {"type": "string"}, "times": {"type": "integer"}}
    tools = [{"name": "look", "parameters": {"type": "object", "properties": properties}}]
    text = "<tool_call>look<arg_key>at</arg_key><arg_value>12</arg_value><arg_key>times</arg_key><arg_value>3</arg_value></tool_call>"
    assert parse_tool_calls(text, tools).tool_calls[0].function.arguments == {"at": "12", "times": 3}


@pytest.mark.parametrize(
    "text",
    [
        "look at the sky {", "functions.look:0 is what I would call", "look\n```json\n[1]\n```", "[look('sky')]", "[look(at=sky)]",
        "[look(at='sky')", "I call [look(at='sky')]", "<tool_calls>none</tool_calls>", "<function=look>", 'look{"at": "sky"} or not',
        "<minimax:tool_call>", "[TOOL_CALLS]look", "to=functions.look", "[" + "-" * 90_000 + "1]", "look" + '{"at":' * 5_000,
    ],
)  # fmt: skip
def test_what_only_looks_like_a_call_is_text(text: str) -> None:
    assert parse_tool_calls(text, TOOLS) == Message(role="assistant", content=text)


@pytest.mark.parametrize(
    "text", ["<tool_call>hello</tool_call>", "<tool_call>{}</tool_call>", "<tool_call><function=></tool_call>"]
)
def test_a_malformed_call_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="between <tool_call> tags"):
        parse_tool_calls(text, TOOLS)


@pytest.mark.parametrize(
    "family",
    [
        "qwen2.5",
        "llama 3.1",
        "mistral v3",
        "mistral v7",
        "granite 3",
        "chatml",
        "deepseek r1",
        "deepseek v3",
        "deepseek v3.1",
        "kimi k2",
        "gpt-oss",
    ],
)
@pytest.mark.parametrize("skip", [True, False])
def test_what_is_learnt_is_read_back(family: str, skip: bool) -> None:
    """With the family's control tokens in the text, or without them, as engines leave them out."""
    tokenizer = tokenizer_of(FAMILIES[family])
    asked = Message(role="user", content="Look!")
    (side,) = Encoder(tokenizer).written([asked], [[Message(role="assistant", tool_calls=(LOOK,))]], TOOLS).sides
    text = tokenizer.decode(side.tokens[:-1], skip_special_tokens=skip)
    assert parse_tool_calls(text, TOOLS).tool_calls == (LOOK,), json.dumps(text)
