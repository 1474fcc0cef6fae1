"""Tool calls in a model's text -> a structured message.

The form is the one Hermes and Qwen models write: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.
"""

from __future__ import annotations

import json
import re

from constitution.records import Function, Message, ToolCall

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)


def parse_tool_calls(text: str) -> Message:
    """The assistant's message that the text stands for. Raises ValueError when a call in it is malformed."""
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
