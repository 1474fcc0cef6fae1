"""Tool calls in a model's text -> a structured message.

Two forms: the one that Hermes and Qwen models write, `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, with text around
it; and an answer that is nothing but JSON, one call or a list of them, as Llama and Mistral models write it, with or without the
control token before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from constitution.records import Function, Message, ToolCall

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_BARE = re.compile(r"\s*+(?:\[TOOL_CALLS\]|<\|tool_call\|>|<\|python_tag\|>)?\s*+(?=[\[{])")


def names_of(tools: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the tools that are described."""
    functions = (tool.get("function", tool) for tool in tools)
    return frozenset(str(one["name"]) for one in functions if isinstance(one, Mapping) and "name" in one)


def parse_tool_calls(text: str, offered: Collection[str] = ()) -> Message:
    """The assistant's message that the text stands for. offered: names of tools, which JSON without tags must name to be calls.

    Raises ValueError when a call in it is malformed.
    """
    if bare := _bare_calls(text, offered):
        return Message(role="assistant", tool_calls=bare)
    calls = []
    for body in _CALL.findall(text):
        try:
            call = json.loads(body)
            calls.append(ToolCall(function=Function(name=call["name"], arguments=call.get("arguments", {}))))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            shown = " ".join(body.split())[:120]
            raise ValueError(
                f'{shown!r}: allowed: {{"name": ..., "arguments": {{...}}}} between <tool_call> tags'
            ) from None
    return Message(role="assistant", content=_CALL.sub("", text).strip(), tool_calls=tuple(calls))


def _bare_calls(text: str, offered: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls of a text that is nothing but calls of tools that are offered; none of any other."""
    begin = _BARE.match(text)
    if not begin or not offered:
        return ()
    try:
        found = json.loads(text[begin.end() :])
    except (ValueError, RecursionError):
        return ()
    calls = []
    for call in found if isinstance(found, list) else [found]:
        given = call.get("arguments", call.get("parameters")) if isinstance(call, dict) else None
        if not isinstance(given, dict) or call.get("name") not in offered or not isinstance(call["name"], str):
            return ()
        calls.append(ToolCall(function=Function(name=call["name"], arguments=given)))
    return tuple(calls)
