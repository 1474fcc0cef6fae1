"""What a chat template makes of the messages it is given, found once when a model loads.

The prompt must be the beginning of the same chat answered: labels are read where the answer goes on. Between the two a template
may write thoughts that are closed, a header of the answer, or a space. And a message that it leaves out, the model never sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from pydantic import JsonValue

from critics.text.thoughts import PAIRS
from generation.engines.base import ModelError

Render = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None, bool, Mapping[str, JsonValue]], str]
"""Messages, tools, whether to open the answer, more variables of the template -> the text. Raises ValueError."""

SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates keep a model from thinking, where they are false."""
_CLOSING = dict(PAIRS)
_OPEN = re.compile(rf"(?:{'|'.join(map(re.escape, _CLOSING))})\s*\Z", re.IGNORECASE)
_CLOSED = re.compile("|".join(rf"{re.escape(first)}\s*{re.escape(last)}\s*\Z" for first, last in PAIRS), re.IGNORECASE)
_SPEAKER = re.compile(r"assistant|model|\bgpt\b|\bbot\b", re.IGNORECASE)
_Q, _A, _MORE, _SYSTEM, _RESULT, _TOOL = "marmalade", "buttercup", "lavender", "peppermint", "chamomile", "rosemary"
_ASKED = {"role": "user", "content": _Q}
_ANSWERED = {"role": "assistant", "content": _A}


class Shape(NamedTuple):
    """What is known of a template."""

    opens_thoughts: str = ""
    """The mark with which the generation prompt opens thoughts that it does not close."""
    told: Mapping[str, JsonValue] = {}
    """Variables by which the template closes the thoughts itself."""
    closing: str = ""
    """What stands between the prompt and an answer: the end of thoughts, or the answer's header."""
    space: str = ""
    """White space that the template writes before an answer."""
    hidden: frozenset[str] = frozenset()
    """What it leaves out: `system`, `tool`, `tools`, `earlier user`, `earlier assistant`."""
    notes: tuple[str, ...] = ()
    """What is to be told, in words."""


def examine(render: Render, known: Mapping[str, JsonValue], mentions: Callable[[str], bool]) -> Shape:
    """Render small chats. known: variables that are given. Raises ModelError for a template with which nothing can be asked."""
    try:
        asked = render([_ASKED], None, True, {})
    except ValueError as error:
        raise ModelError(f"the chat template cannot write a chat of one user message: {error}") from error
    if _Q not in asked:
        raise ModelError("the chat template leaves out what the user says; mend it, and save the tokenizer")
    gap, notes = _gap(render, asked)
    hidden = _hidden(render, mentions)
    if hidden:
        notes.append(f"its chat template leaves out: {', '.join(sorted(hidden))}; prompts with such messages fail")
    told: dict[str, JsonValue] = {}
    for switch in SWITCHES:
        if known.get(switch) is not False and mentions(switch):
            quiet = render([_ASKED], None, True, {switch: False})
            if quiet != asked and not _OPEN.search(quiet):
                told = {switch: False}
    found = _OPEN.search(asked)
    opens = found.group().strip() if found else ""
    if told:
        gap = ""
    elif opens:
        gap = f"\n{_CLOSING.get(opens.lower(), opens)}\n\n"
    return Shape(opens, told, gap if gap.strip() else "", "" if gap.strip() else gap, hidden, tuple(notes))


def left_out(shape: Shape, chat: Sequence[Mapping[str, Any]], tools: Any) -> str:
    """What of a chat the template leaves out, in words; empty where nothing."""
    roles = {str(message["role"]) for message in chat} & {"system", "tool"}
    roles |= {f"earlier {message['role']}" for message in chat[:-1] if message["role"] in ("user", "assistant")}
    if tools:
        roles.add("tools")
    return ", ".join(sorted(roles & shape.hidden))


def _gap(render: Render, asked: str) -> tuple[str, list[str]]:
    """What the template writes between the prompt and an answer, and what is to be told. Raises ModelError."""
    try:
        answered = render([_ASKED, _ANSWERED], None, False, {})
    except ValueError as error:
        return "", [f"its chat template cannot write a chat that is answered ({error})"]
    if _A not in answered:
        raise ModelError("the chat template leaves out what the assistant says; mend it, and save the tokenizer")
    stem = _CLOSED.sub("", _OPEN.sub("", asked))
    same = answered.startswith((asked, stem))
    common = asked if answered.startswith(asked) else stem if same else _common(asked, answered)
    gap = answered[len(common) :].partition(_A)[0]
    unopened = gap.strip() and (_SPEAKER.search(gap) or asked == render([_ASKED], None, False, {}))
    if unopened:
        raise ModelError(
            f"the chat template does not open the assistant's turn: before an answer it writes {gap!r}, and not in the prompt; "
            "write it there where add_generation_prompt is true, and save the tokenizer"
        )
    if not same:
        told = "its chat template writes a chat otherwise once it is answered: the prompt is not the beginning of it"
        return "", [told]
    return gap, []


def _common(one: str, other: str) -> str:
    """The beginning of both."""
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in equal)


def _hidden(render: Render, mentions: Callable[[str], bool]) -> frozenset[str]:
    """What the template leaves out. A chat that it refuses is not left out: it fails in its own words."""
    call = {"type": "function", "id": "callcall1", "function": {"name": _TOOL, "arguments": {}}}
    schema = {"type": "object", "properties": {}}
    tool = {"type": "function", "function": {"name": _TOOL, "description": _MORE, "parameters": schema}}
    chats: list[tuple[list[dict[str, Any]], Any, dict[str, str]]] = [
        ([{"role": "system", "content": _SYSTEM}, _ASKED], None, {"system": _SYSTEM}),
        (
            [_ASKED, _ANSWERED, {"role": "user", "content": _MORE}],
            None,
            {"earlier user": _Q, "earlier assistant": _A},
        ),
    ]
    if mentions("tool_calls"):
        result = {"role": "tool", "content": _RESULT, "name": _TOOL, "tool_call_id": "callcall1"}
        calls = {"role": "assistant", "content": "", "tool_calls": [call]}
        chats.append(([_ASKED, calls, result], None, {"tool": _RESULT}))
    if mentions("tools"):
        chats.append(([_ASKED], [tool], {"tools": _TOOL}))
    hidden = set()
    for chat, tools, words in chats:
        try:
            rendered = render(chat, tools, True, {})
        except ValueError:
            continue
        hidden |= {name for name, word in words.items() if word not in rendered}
    return frozenset(hidden)
