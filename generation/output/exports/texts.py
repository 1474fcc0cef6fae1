"""What several forms share: conversations as texts, and the sides on which the two responses of a pair are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from constitution.digest import fraction
from constitution.records import Message
from critics.transcript import message_text
from generation.output.reading import Pair

_SPEAKER = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


class Sided(NamedTuple):
    """A pair as people are shown it."""

    chosen_first: bool
    """The better response is `a`, or the left one. Drawn from the pair's ids: no place is better on the whole."""
    first: str
    second: str


def sided(pair: Pair) -> Sided:
    """The pair's responses as texts, in the order in which they are shown."""
    chosen_first = (fraction(pair_name(pair)) < 0.5) == (pair.chosen_id < pair.rejected_id)
    texts = message_text(pair.chosen), message_text(pair.rejected)
    return Sided(chosen_first, *(texts if chosen_first else texts[::-1]))


def pair_name(pair: Pair) -> str:
    """The pair's two ids, in an order that does not tell which is better."""
    return " ".join(sorted((pair.chosen_id, pair.rejected_id)))


def conversation_text(messages: Sequence[Message]) -> str:
    """A conversation as one text: what is said, after who says it where it is more than one user's turn."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return "\n\n".join(f"{_SPEAKER[message.role]}: {message_text(message)}" for message in messages)


def source_row(metadata: str | None) -> dict[str, Any]:
    """The other columns of the prompt's source row."""
    found = json.loads(metadata) if metadata else {}
    return found if isinstance(found, dict) else {}
