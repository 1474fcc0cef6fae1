"""Conversations as the text a judge reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from constitution.digest import hasher
from constitution.records import Message, Prompt

_SPEAKER = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool result"}
_DELIMITER = re.compile(
    r"<(?=\s*+/?\s*+(?:conversation|reference|reply|reply_a|reply_b|other_reply|critique|example"
    r"|argument_for_(?:a|b|other)|answer_by_[ab])\b[^<>]{0,200}>)",
    re.IGNORECASE,
)

_PART = 100_000
"""Characters that are searched in one go."""
_HEAD_ENDS = re.compile(r"</reply(?:_b)?(?: [0-9a-f]{8})?>\n\n")


AskedIn = Literal["quotes", "turns"]
"""Whether a request quotes the conversation and a response to it, or is the conversation's next turn."""


class Nonces(NamedTuple):
    """What the delimiters of one prompt carry, so that no text can hold a delimiter of its own prompt."""

    conversation: str = ""
    """Also of a reference answer, which stands beside it."""
    replies: str = ""


def nonces(use: bool, conversation: str, *responses: str, reference: str = "") -> Nonces:
    """A nonce for the delimiters of the conversation and the reference answer and one for the responses', or none.

    They are digests (32 bits) of the very texts they enclose, which makes calls repeatable; a text can hold its own only where
    its writer knows all the others and searches. They are a second lock: `escape_delimiters` breaks delimiters whatever they carry.
    The responses' does not depend on their order; the conversation's is the same for all prompts about it, which therefore
    share a cached prefix.
    """
    if not use:
        return Nonces()
    before = [conversation, reference] if reference else [conversation]
    return Nonces(f" {_digest(*before)}", f" {_digest(*before, *sorted(responses))}")


def _digest(*texts: str) -> str:
    h = hasher(4)
    for text in texts:
        part = text.encode("utf-8", "replace")
        h.update(len(part).to_bytes(8, "big") + part)
    return h.hexdigest()


def escape_delimiters(text: str) -> str:
    """The text with our own delimiters broken, so that a response cannot close its block and speak as the prompt."""
    return "".join(_DELIMITER.sub("‹", part) for part in _parts(text))


def _parts(text: str) -> Iterator[str]:
    """A text in parts of some size, between which other threads go on. None begins inside a delimiter."""
    begin = 0
    while begin < len(text):
        end = text.find("<", begin + _PART)
        end = len(text) if end < 0 else end
        yield text[begin:end]
        begin = end


def render_message(message: Message) -> str:
    """A message as a judge reads it: its text and tool calls, with our delimiters broken."""
    return escape_delimiters(message_text(message))


def message_text(message: Message) -> str:
    """All that a message holds: its text, then each tool call as one line of JSON."""
    calls = [
        "Calls tool: "
        + json.dumps({"name": call.function.name, "arguments": call.function.arguments}, ensure_ascii=False)
        for call in message.tool_calls
    ]
    return "\n".join([*([message.content] if message.content else []), *calls])


def conversation(prompt: Prompt) -> str:
    """The prompt's messages, one block per turn, headed by the speaker; tools it offers come first."""
    lines = []
    if prompt.tools:
        lines.append("Tools on offer: " + escape_delimiters(json.dumps(prompt.tools, ensure_ascii=False)))
    lines += [f"{_SPEAKER[message.role]}: {render_message(message)}" for message in prompt.messages]
    return "\n\n".join(lines)


def reference_answer(prompt: Prompt) -> str:
    """The prompt's reference answer as a judge reads it, with our delimiters broken; empty where it has none."""
    return escape_delimiters(prompt.reference)


def ask(text: str) -> tuple[Message, ...]:
    """A prompt for a judge: one user turn, which every chat template knows."""
    return (Message(role="user", content=text),)


def shared_head(messages: Sequence[Message]) -> int:
    """Characters of a judge's prompt up to what it is asked: the same for all questions about the same responses; 0 of others."""
    content = messages[0].content if messages else ""
    found = _HEAD_ENDS.match(content, max(0, content.rfind("</reply")))
    return found.end() if found else 0
