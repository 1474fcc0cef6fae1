"""Tool calls in a model's text -> a structured message.

Each family of models writes calls in a form of its own. Between marks: JSON, as Hermes, Qwen, Granite, Hunyuan, InternLM and
Command models do it; XML, as Qwen3-Coder, GLM, MiniMax, Seed and DeepSeek 3.2; Python, as OLMo and LFM. Behind the tool's name:
DeepSeek, Kimi, Mistral, harmony (gpt-oss). As the whole answer: JSON by Llama, Mistral and Phi models, and Python's
`[name(key=value)]` by Llama 3.2 and 4. Marks that are control tokens may be missing, since engines leave those out.

Forms that need no marks are calls only where they name a tool that is offered; anything that is none of this is text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from constitution.records import Function, Message, ToolCall
from constitution.terminal import quietly

Tools = Iterable[Mapping[str, Any]]
Offered = Mapping[str, Mapping[str, Any]]
"""Name of a tool -> the JSON schema of its arguments."""
Found = tuple[str, list[ToolCall]]
"""What is said beside the calls, and the calls."""

_WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, SyntaxError, MemoryError)
"""What a malformed call raises while it is read."""
_LONGEST_PYTHON = 20_000
_TRIED = 500
"""Places at which calls may begin with a tool's name, at most."""
_TAGS = {
    "<seed:tool_call>": "</seed:tool_call>",
    "<minimax:tool_call>": "</minimax:tool_call>",
    "<｜DSML｜function_calls>": "</｜DSML｜function_calls>",
    "<function_calls>": "</function_calls>",
    "<tool_calls>": "</tool_calls>",
    "<TOOLCALL>": "</TOOLCALL>",
    "<|tool_call_start|>": "<|tool_call_end|>",
    "<|tool_call|>": "<|/tool_call|>",
    "<|START_ACTION|>": "<|END_ACTION|>",
    "<|action_start|><|plugin|>": "<|action_end|>",
    "<|action_start|> <|plugin|>": "<|action_end|>",
    "<|python_start|>": "<|python_end|>",
}
"""What stands around calls, beside <tool_call>. A text between them that does not read as calls is text."""
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_CLOSED = re.compile(r"\s*+(?:</tool_call>|\Z)")
_JSON = re.compile(r"\[?\s*+\{")
_APART = re.compile(r"[\s,;]*+")
_DECODER = json.JSONDecoder()
_TAGGED = re.compile(
    "|".join(rf"{re.escape(first)}(.*?)(?:{re.escape(last)}|\Z)" for first, last in _TAGS.items()), re.DOTALL
)
_BEFORE_JSON = re.compile(r"\s*+(?:\[TOOL_CALLS\]|<\|tool_call\|>|<\|python_tag\|>|functools(?=\[))?\s*+(?=[\[{])")
_XML = re.compile(
    r"<(?:｜DSML｜)?(?:function=|invoke name=)[\"']?([^\"'>\s]+)[\"']?>(.*?)(?:</(?:｜DSML｜)?(?:function|invoke)>|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<(?:｜DSML｜)?parameter(?:=| name=)[\"']?([^\"'>\s]++)[\"']?[^<>]*+>\n?"
    r"((?:(?!<(?:｜DSML｜)?parameter).)*?)\n?</(?:｜DSML｜)?parameter>",
    re.DOTALL,
)
_PAIR = re.compile(
    r"<arg_key>((?:(?!<arg_key>).)*?)</arg_key>\s*+<arg_value>((?:(?!<arg_key>|<arg_value>).)*?)</arg_value>", re.DOTALL
)
_AFTER = re.compile(
    r"(?:\s|```|<｜tool▁calls?▁end｜>|<\|tool_call_end\|>|<\|tool_calls_section_end\|>|<\|call\|>|<\|end\|>|</function>|,)*+"
)
"""What may stand behind the arguments of a call that its tool's name begins."""


def offered_by(tools: Tools) -> Offered:
    """The tools that are described."""
    functions = (tool.get("function", tool) for tool in tools)
    return {
        str(one["name"]): one.get("parameters") or {} for one in functions if isinstance(one, Mapping) and "name" in one
    }


def parse_tool_calls(text: str, tools: Tools = ()) -> Message:
    """The assistant's message that the text stands for. tools: those that are offered.

    Raises ValueError when a call between <tool_call> tags is malformed.
    """
    offered = offered_by(tools)
    for form in (_whole, _headed, _between, _tagged):
        content, calls = form(text, offered)
        if calls:
            return Message(role="assistant", content=content.strip(), tool_calls=tuple(calls))
    return Message(role="assistant", content=text.strip())


def _whole(text: str, offered: Offered) -> Found:
    """The calls of a text that is nothing but calls of tools that are offered."""
    begin = _BEFORE_JSON.match(text)
    if not begin or not offered:
        return text, []
    body = text[begin.end() :].strip()
    for read in (_of_json, _of_python):
        try:
            calls = read(body, offered)
        except _WRONG:
            continue
        if calls and all(call.function.name in offered for call in calls):
            return "", calls
    return text, []


def _headed(text: str, offered: Offered) -> Found:
    """Calls that the name of a tool begins, and whose arguments follow as JSON. Nothing follows them."""
    if not offered or "{" not in text:
        return text, []
    heads, tried = _heads(offered), 0
    for first in islice(heads.finditer(text), _TRIED):
        if first.start() < tried:  # calls that others follow, which something else follows
            continue
        calls, place = [], first.start()
        while head := heads.match(text, place):
            name = next(filter(None, head.groups()))
            try:
                arguments, place = _DECODER.raw_decode(text, head.end())
                calls.append(_call(name, arguments))
            except _WRONG:
                break
            place = _AFTER.match(text, place).end()  # type: ignore[union-attr]
        if calls and place == len(text):
            return text[: first.start()], calls
        tried = place
    return text, []


def _heads(offered: Offered) -> re.Pattern[str]:
    """What stands before the arguments: a tool's name, and the marks that some form has around it."""
    name = f"({'|'.join(map(re.escape, sorted(offered, key=len, reverse=True)))})"
    section = r"(?:(?:<｜tool▁calls▁begin｜>|<\|tool_calls_section_begin\|>)\s{0,4})?"
    before = section + r"(?:<｜tool▁call▁begin｜>|<\|tool_call_begin\|>)?"
    channel = r"\s{0,4}(?:<\|channel\|>)?(?:commentary|analysis)?\s{0,4}"
    forms = (
        rf"{before}(?:function)?(?:<｜tool▁sep｜>)?{name}\n```json\n",  # DeepSeek V3 and R1
        rf"{before}{name}<｜tool▁sep｜>",  # DeepSeek V3.1
        rf"{before}(?:functions\.)?{name}:\d+\s{{0,4}}(?:<\|tool_call_argument_begin\|>)?",  # Kimi K2
        rf"(?:(?:<\|start\|>)?assistant)?{channel}to=functions\.{name}{channel}(?:<\|constrain\|>)?(?:json)?\s{{0,4}}(?:<\|message\|>)?",
        rf"\[TOOL_CALLS\]{name}(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?",  # Mistral since v11
        rf"<function={name}>",  # Llama 3.1
        rf"(?:\A|(?<=\}}))\s{{0,4}}{name}",  # Mistral and DeepSeek without their control tokens
    )
    return re.compile(rf"(?:{'|'.join(forms)})\s{{0,4}}(?=\{{)")


def _between(text: str, offered: Offered) -> Found:
    """Calls between <tool_call> tags. Raises ValueError for a malformed one."""
    calls, said, place = list[ToolCall](), "", 0
    while match := _CALL.search(text, place):
        body, end = _body(text, match)
        said += text[place : match.start()]
        place = end
        try:
            calls += _of_body(body, offered)
        except _WRONG:
            shown = " ".join(body.split())[:120]
            raise ValueError(
                f'{shown!r}: allowed: {{"name": ..., "arguments": {{...}}}} between <tool_call> tags'
            ) from None
    return said + text[place:], calls


def _body(text: str, match: re.Match[str]) -> tuple[str, int]:
    """What stands between two tags, and where the second ends: behind the JSON, whose strings may hold the tag."""
    begin = match.start(1) + len(match[1]) - len(match[1].lstrip())
    with suppress(ValueError, RecursionError):
        _, end = _DECODER.raw_decode(text, begin)
        if closed := _CLOSED.match(text, end):
            return text[begin:end], closed.end()
    return match[1], match.end()


def _tagged(text: str, offered: Offered) -> Found:
    """Calls between other marks."""
    calls: list[ToolCall] = []
    for match in _TAGGED.finditer(text):
        body = next((group for group in match.groups() if group), "")
        try:
            calls += _of_body(body, offered)
        except _WRONG:
            return text, []
    return _TAGGED.sub("", text), calls


def _of_body(body: str, offered: Offered) -> list[ToolCall]:
    """The calls between two marks. Raises one of `_WRONG` where there are none, or more than calls."""
    inner = body.strip()
    if inner.startswith(("<function=", "<invoke", "<｜DSML｜invoke")):
        calls = [*_of_xml(inner, offered)]
        if not calls:
            raise ValueError("no function is named")
        return calls
    if _JSON.match(inner):
        return _of_json(inner, offered, {})
    name, _, rest = inner.partition("<arg_key>")
    if (rest or inner in offered) and not _PAIR.sub("", f"<arg_key>{rest}" if rest else "").strip():
        schema = offered.get(name.strip(), {})
        return [_call(name.strip(), {key: _typed(value, key, schema) for key, value in _PAIR.findall(inner)})]
    return _of_python(inner if inner.startswith("[") else f"[{','.join(inner.splitlines())}]", offered)


def _of_json(text: str, _: Offered, missing: Any = None) -> list[ToolCall]:
    """An object, a list of them, or several one after another. missing: the arguments of a call that has none."""
    found, place = [], 0
    while place < len(text):
        value, place = _DECODER.raw_decode(text, place)
        place = _APART.match(text, place).end()  # type: ignore[union-attr]
        found += value if isinstance(value, list) else [value]
    calls = []
    for given in found:
        name = given["name"] if "name" in given else given["tool_name"]
        calls.append(_call(name, given.get("arguments", given.get("parameters", missing))))
    return calls


def _of_xml(text: str, offered: Offered) -> Iterator[ToolCall]:
    for name, body in _XML.findall(text):
        schema = offered.get(name, {})
        yield _call(name, {key: _typed(value, key, schema) for key, value in _PARAMETER.findall(body)})


def _of_python(text: str, offered: Offered) -> list[ToolCall]:
    """`[name(key=value), ...]`, whose values are constants."""
    if len(text) > _LONGEST_PYTHON:
        raise ValueError("too long")
    with quietly():
        found = ast.parse(text.strip(), mode="eval").body
    calls = []
    for one in found.elts:  # type: ignore[attr-defined]
        if not isinstance(one, ast.Call) or one.args or ast.unparse(one.func) not in offered:
            raise ValueError("no call of a tool")
        arguments = {str(word.arg): ast.literal_eval(word.value) for word in one.keywords}
        calls.append(_call(ast.unparse(one.func), arguments))
    return calls


def _call(name: Any, arguments: Any) -> ToolCall:
    return ToolCall(function=Function(name=name, arguments=arguments))


def _typed(value: str, key: str, schema: Mapping[str, Any]) -> Any:
    """An argument that is written without quotes: text where the tool's schema says so, else JSON where it is some."""
    properties = schema.get("properties")
    described = properties.get(key) if isinstance(properties, Mapping) else None
    if isinstance(described, Mapping) and described.get("type") == "string":
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
