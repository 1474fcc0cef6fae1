"""Messages as a chat template takes them, whatever it knows of tools, and marks that keep their texts from control tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from constitution.records import Message

Chat = Sequence[Message | Mapping[str, Any]]
Tools = Sequence[Mapping[str, JsonValue]]

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_WORD = re.compile(r"[A-Za-z0-9]{4,}")
_FIRST_WORD = re.compile(r"\S")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOOKED_AT = 500
"""Characters of a message in which a word is looked for that the rendering must have."""


def fields(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates expect it, with the keys that are set."""
    if isinstance(message, Message):
        return {"content": "", **message.model_dump(mode="json", exclude_defaults=True)}
    if message.get("role") not in _ROLES:
        raise ValueError(f"role {message.get('role')!r}: allowed: {', '.join(sorted(_ROLES))}")
    return dict(message)


def without_calls(message: dict[str, Any]) -> dict[str, Any]:
    """A message for a template that knows no tools: calls become text, and a tool's result the user's turn."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"Tool result: {message.get('content') or ''}"}
    calls = message.get("tool_calls") or ()
    if not calls:
        return message
    lines = [f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>" for call in calls]
    texts = [message["content"]] if message.get("content") else []
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**rest, "content": "\n".join([*texts, *lines])}


def with_tools_described(chat: list[dict[str, Any]], tools: Tools) -> list[dict[str, Any]]:
    """The chat with the tools listed in its system message, for a template that knows no tools."""
    listing = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    text = (
        "You may call these tools, one JSON object a line:\n" + listing + "\n"
        'To call one, write <tool_call>{"name": ..., "arguments": {...}}</tool_call>.'
    )
    if chat and chat[0]["role"] == "system":
        return [{**chat[0], "content": f"{chat[0]['content']}\n\n{text}"}, *chat[1:]]
    return [{"role": "system", "content": text}, *chat]


def check_calls(chat: Sequence[Mapping[str, Any]], rendered: str) -> None:
    """Raises ValueError where a call is left out, or holds the mark that ends calls, so that no parser would read it back."""
    for call in (call for message in chat for call in message.get("tool_calls") or []):
        given = (call.get("function") or call).get("arguments")
        text = json.dumps(list(given.values()) if isinstance(given, Mapping) else given, ensure_ascii=False)
        if max(_WORD.findall(text), key=len, default="") not in rendered:
            raise ValueError("the model's chat template leaves out a tool call")
        if "</tool_call>" in text and "<tool_call>" in rendered:
            raise ValueError("a tool call's arguments hold </tool_call>, which would end the call")


class ThoughtsPlace(NamedTuple):
    """Where a template and its tokenizer have what the assistant thought before it answered."""

    field: str = ""
    """Key of a message that the template writes as thoughts; empty where it knows none."""
    marks: tuple[str, str] | None = None
    """What stands around thoughts in what the model writes; None where they are text like any other."""
    is_dropped: bool = False
    """True where the template takes thoughts out of what the assistant says."""


def thoughts_block(text: str, place: ThoughtsPlace) -> re.Match[str] | None:
    """What a text begins with, where that is a whole block of thoughts: the thoughts, and what follows."""
    if place.marks is None:
        return None
    first, last = map(re.escape, place.marks)
    return re.match(rf"\s*{first}(.*?){last}(.*)", text, re.DOTALL)


def with_thoughts(
    message: dict[str, Any], place: ThoughtsPlace, marks: tuple[str, str], is_last: bool
) -> dict[str, Any]:
    """An assistant's message with its thoughts where the template has them, or as the model writes them where it has no place.

    A content that begins with a whole block of thoughts is read as the model's own writing: thoughts and answer. marks: stand for
    the place's own, which texts cannot hold. is_last: False for an answer that is answered, whose thoughts a template that drops
    them never shows.
    """
    thoughts, content = message.get("reasoning_content") or "", message.get("content") or ""
    kept = {key: value for key, value in message.items() if key != "reasoning_content"}
    block = thoughts_block(content, place) if isinstance(content, str) and not thoughts else None
    if message["role"] != "assistant" or not (thoughts or block):
        return kept
    if block:
        thoughts, content = block[1].strip("\n"), block[2].lstrip("\n")
    if place.field:
        return {**kept, "content": content, place.field: thoughts}
    if place.marks is None or (place.is_dropped and not is_last):
        return {**kept, "content": content}
    if block and not place.is_dropped:
        return {**kept, "content": f"{marks[0]}{block[1]}{marks[1]}{block[2]}"}
    return {**kept, "content": f"{marks[0]}\n{thoughts}\n{marks[1]}\n\n{content}"}


def check_visible(chat: Sequence[Mapping[str, Any]], rendered: str, roles: frozenset[str]) -> None:
    """Raises ValueError where a word of what one of these roles says stands nowhere in the rendering."""
    for message in chat:
        content = message.get("content")
        if message["role"] not in roles or not isinstance(content, str):
            continue
        word = max(_WORD.findall(content[:_LOOKED_AT]), key=len, default="")
        if word not in rendered and word.casefold() not in rendered.casefold():
            raise ValueError(f"the model's chat template leaves out a message of the {message['role']}'s")


class Marks:
    """Puts a mark into texts wherever a control token's text could begin, so that no control text stands in them whole."""

    def __init__(self, controls: Collection[str], mark: str) -> None:
        """controls: texts of control tokens. mark: stands in no text."""
        self._mark = mark
        starts = "".join(sorted({text[0] for text in controls}))
        self._start = re.compile(f"[{re.escape(starts)}]") if starts else re.compile(r"(?!)")
        self._ends = {text[k:] for text in controls for k in range(1, len(text))}
        self._lengths = sorted({len(end) for end in self._ends}) or [0]
        self._inside = "\n".join(text[1:] for text in controls)

    def marked(self, value: Any) -> Any:
        """The value with marks in every string of it."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self.broken(str(key)): self.marked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.marked(item) for item in value]
        return value

    def broken(self, text: str) -> str:
        """The text with a mark behind each character that a control text could begin with."""
        text = self.removed(_SURROGATE.sub("\ufffd", text))
        return self._start.sub(lambda match: match.group() + self._mark, text)

    def removed(self, text: str) -> str:
        """The text without marks."""
        return text.replace(self._mark, "")

    def _text(self, text: str) -> str:
        """Broken, and marked before the first word where that could end a control text, for templates that write the start
        themselves. Other texts are left as they are, since templates compare some of them.
        """
        text = self.broken(text)
        word = text.strip()
        if not word or not self._ends_a_control(word):
            return text
        return _FIRST_WORD.sub(lambda match: self._mark + match.group(), text, count=1)

    def _ends_a_control(self, word: str) -> bool:
        """True when the word begins with the end of a control text, or is a piece of its inside."""
        return any(word[:n] in self._ends for n in self._lengths) or (
            len(word) <= self._lengths[-1] and word in self._inside
        )
