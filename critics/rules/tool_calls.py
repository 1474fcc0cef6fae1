"""Whether a response calls tools that its prompt offers, with arguments that fit each tool's own schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from constitution.records import Message, Prompt
from critics.rules.schemas import misfit

_PARAMETERS = ("parameters", "input_schema", "inputSchema")
"""Where a tool's schema stands: in OpenAI's form, in Anthropic's, in the Model Context Protocol's."""
_SHOWN = 10
"""Names of tools that a reason lists."""


def invalid_call(prompt: Prompt, message: Message) -> str | None:
    """Why one of the response's calls is not valid; None where all are, or where there is none.

    A call is valid where its tool is offered and its arguments fit the tool's schema; a tool without one takes any. A call whose
    tool's schema cannot be applied is not known to be valid, and so is not.
    """
    offered = schemas_of(prompt.tools)
    for call in message.tool_calls:
        name = call.function.name
        if name not in offered:
            known = ", ".join([*offered][:_SHOWN]) or "none"
            return f"calls {name[:80]!r}, which is not offered (offered: {known})"
        if wrong := misfit(offered[name], call.function.arguments):
            return f"arguments of {name[:80]!r}: {wrong}"
    return None


def schemas_of(tools: Sequence[Mapping[str, JsonValue]]) -> dict[str, JsonValue]:
    """Name of a tool -> schema of its arguments. Of two with one name, the first; what names no tool is passed over."""
    found: dict[str, JsonValue] = {}
    for tool in tools:
        inner = tool.get("function")
        described = inner if isinstance(inner, dict) else tool
        name = described.get("name")
        if isinstance(name, str):
            found.setdefault(name, next((described[key] for key in _PARAMETERS if described.get(key) is not None), {}))
    return found
