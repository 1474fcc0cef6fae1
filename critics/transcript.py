"""Conversations as the text a judge reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from constitution.records import Message, Prompt

_SPEAKER = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool result"}
_DELIMITER = re.compile(r"<(?=\s*/?\s*(?:conversation|reply|reply_a|reply_b|critique|example)\s*>)", re.IGNORECASE)


def neutral(text: str) -> str:
    """The text with our own delimiters broken, so that a reply cannot close its block and speak as the prompt."""
    return _DELIMITER.sub("‹", text)


def said(message: Message) -> str:
    """What a message says: its text, then each tool call as one line of JSON."""
    calls = [
        "Calls tool: "
        + json.dumps({"name": call.function.name, "arguments": call.function.arguments}, ensure_ascii=False)
        for call in message.tool_calls
    ]
    return neutral("\n".join([*([message.content] if message.content else []), *calls]))


def conversation(prompt: Prompt) -> str:
    """The prompt's messages, one block per turn, headed by the speaker; tools it offers come first."""
    lines = []
    if prompt.tools:
        lines.append("Tools on offer: " + neutral(json.dumps(prompt.tools, ensure_ascii=False)))
    lines += [f"{_SPEAKER[message.role]}: {said(message)}" for message in prompt.messages]
    return "\n\n".join(lines)


def ask(text: str) -> tuple[Message, ...]:
    """A prompt for a judge: one user turn, which every chat template knows."""
    return (Message(role="user", content=text),)


def first_words(messages: Sequence[Message], limit: int = 80) -> str:
    """The start of the last message, for one line of a table."""
    text = " ".join(messages[-1].content.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
