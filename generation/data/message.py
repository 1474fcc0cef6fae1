"""One message, as any maker of data writes it -> a Message, or why it is none."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from constitution.errors import problems_of, shown, suggest
from constitution.records import Message, Role
from generation.data.record import BadRow, bounded
from generation.data.text import ROLES, parsed

Told = Counter[str]
"""What was left alone, and how often: it is told once."""
MAX_DEPTH = 64
"""Levels of lists and objects inside a tool's description or its arguments."""
_KNOWN = {"role", "from", "content", "value", "tool_calls", "function_call", "tool_call_id", "name"}
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Keys under which makers of data keep an assistant's thoughts."""
_PLAIN = {"role", "content"}
_PLAIN_ROLES = ("system", "user", "assistant", "tool")
_TEXT_PARTS = ("text", "input_text", "output_text")
_MEDIA = ("image", "images", "audio", "video", "image_url", "videos", "audios")


def message(value: object, told: Told) -> Message:
    """A message from its object. Raises BadRow."""
    if (
        type(value) is dict
        and value.keys() == _PLAIN
        and value["role"] in _PLAIN_ROLES
        and type(value["content"]) is str
    ):
        return said(value["role"], value["content"])  # most are, and the rest takes its time
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping):
        raise BadRow("bad_row", f"got {shown(value)}", "a message: {role, content}")
    given = {str(key): inner for key, inner in value.items() if inner is not None}
    role = _role(given)
    calls = _calls(given, role)
    is_call = bool(calls) and role in ("function_call", "tool_call")
    content = None if is_call else given.get("content", given.get("value"))
    fields: dict[str, Any] = {"role": ROLES[role], "content": _content(content, ROLES[role])}
    if calls:
        fields["tool_calls"] = calls
    fields |= {key: given[key] for key in ("tool_call_id", "name") if key in given}
    thoughts = next((key for key in _THOUGHTS if isinstance(given.get(key), str)), "")
    if thoughts and ROLES[role] == "assistant":
        fields["reasoning_content"] = given.pop(thoughts)
    for key in given.keys() - _KNOWN:
        if key in _MEDIA and given[key]:
            raise BadRow("not_text", f"has {key}", "text alone")
        told[f"key {shown(key)} of messages"] += 1
    try:
        return Message.model_validate(fields)
    except ValidationError as error:
        first = problems_of(error, Message)[0]
        reason = "malformed_tool_call" if "tool" in f"{first.key}{first.got}" else "bad_row"
        raise BadRow(reason, first.got[:300], first.allowed, first.fix, first.key) from None


def said(role: str, text: str) -> Message:
    """A message that is nothing but text."""
    return Message.model_construct(
        role=cast(Role, role), content=text, tool_calls=(), tool_call_id=None, name=None, reasoning_content=""
    )  # all fields, since pydantic takes longer to find their defaults than to make it


def _role(given: Mapping[str, Any]) -> str:
    role = given.get("role", given.get("from"))
    if role is None:
        raise BadRow("wrong_roles", "is missing", ", ".join(sorted(set(ROLES.values()))), key="role")
    name = role.strip().lower() if isinstance(role, str) else ""
    if name not in ROLES:
        allowed = f"{', '.join(sorted(set(ROLES.values())))}, and what others call them"
        raise BadRow("wrong_roles", f"got {shown(role)}{suggest(name, ROLES)}", allowed, key="role")
    return name


def _content(value: object, role: str) -> str:
    """The text of a message: a text, or parts that are texts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n".join(map(_part, value))
    if isinstance(value, Mapping) and role == "tool":
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, Mapping) and value.get("type") in _TEXT_PARTS:
        return _part(value)
    raise BadRow("bad_row", f"got {shown(value)}", "text, or parts of type text", key="content")


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        kind, text = part.get("type") or "text", part.get("text")
        if kind in _TEXT_PARTS and isinstance(text, str):
            return text
        if kind not in _TEXT_PARTS:
            raise BadRow("not_text", f"has a part of type {shown(kind)}", "parts of type text", key="content")
    raise BadRow("bad_row", f"got the part {shown(part)}", "{type: text, text}", key="content")


def _calls(given: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    """The calls of tools, in the form of OpenAI's servers. Raises BadRow."""
    found = given.get("tool_calls", [])
    if not found and isinstance(given.get("function_call"), Mapping):
        found = [given["function_call"]]
    if not found and role in ("function_call", "tool_call"):
        found = _structure(given.get("value", given.get("content")))
    if isinstance(found, str):
        found = _structure(found)
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, list | tuple):
        raise BadRow("malformed_tool_call", f"got {shown(found)}", "a list of calls", key="tool_calls")
    return [_call(call) for call in bounded(found, "calls of tools")]


def _structure(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parsed(value)
    except BadRow as error:
        raise BadRow("malformed_tool_call", f"got {shown(value)}", "a call as JSON", key="tool_calls") from error


def _call(call: object) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise BadRow("malformed_tool_call", f"got {shown(call)}", "{function: {name, arguments}}", key="tool_calls")
    inner = call.get("function")
    function = inner if isinstance(inner, Mapping) else call
    arguments = function.get("arguments", function.get("parameters"))
    kept: dict[str, Any] = {"function": {key: function[key] for key in ("name",) if key in function}}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            fix = "an object, or an object as a JSON string"
            raise BadRow(
                "malformed_tool_call", f"arguments are not JSON ({shown(arguments)})", fix, key="tool_calls"
            ) from None
    kept["function"]["arguments"] = finite(arguments or {}, "tool_calls")
    return kept | {key: call[key] for key in ("id", "type") if isinstance(call.get(key), str) and inner is not None}


def finite(value: Any, key: str, depth: int = 0) -> Any:
    """A value that JSON can hold: without NaN and infinity, and not nested without end. Raises BadRow."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow("not_finite", f"holds {value}", "numbers that JSON has", key=key)
    if depth > MAX_DEPTH:
        raise BadRow("bad_row", f"is nested more than {MAX_DEPTH} deep", key=key)
    if isinstance(value, Mapping):
        return {str(name): finite(inner, key, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner, key, depth + 1) for inner in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise BadRow("bad_row", f"holds {shown(value)}", "what JSON has", key=key)
