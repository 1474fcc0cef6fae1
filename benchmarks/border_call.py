"""A call to a chat server, and the answer of a server in order, which `border_kinds` spoils.

A response that holds the word GOOD is better than one that holds BAD, in both orders, beside a position bias of 0.5: the right
label is known.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from constitution.digest import integer

SURE, BIAS = 3.0, 0.5
"""Log-odds of the better response, and for the one listed first."""


@dataclass(slots=True)
class Call:
    """A request, and the answer that a server in order gives."""

    body: dict[str, Any]
    n: int
    """How many calls of this kind there were, from 1."""
    judged: int
    """+1 where the better response is listed first, -1 second, 0 where nothing is judged."""
    z: float = 0.0
    """Log-odds of A."""
    choice: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> bool:
        """Log-probabilities of a label are asked for."""
        return bool(self.body.get("logprobs"))

    @property
    def message(self) -> dict[str, Any]:
        """Of the choice."""
        message: dict[str, Any] = self.choice["message"]
        return message

    def tokens(self, *listed: tuple[str, float]) -> None:
        """Put these alternatives in place of the list; the first is the sampled one."""
        entries = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in listed]
        if self.label:
            self.choice["logprobs"] = {"content": [{**entries[0], "top_logprobs": entries}]}
            self.message["content"] = listed[0][0]

    @property
    def ab(self) -> tuple[float, float]:
        """Log-probabilities of A and B."""
        return -math.log1p(math.exp(-self.z)), -math.log1p(math.exp(self.z))


Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] | None
"""What goes over the wire: bytes, something that writes and ends the connection, or, where None, the answer as it stands."""
Misbehave = Callable[[Call], Reply]


def http(status: int, body: object, *headers: str) -> bytes:
    """A whole answer of HTTP. body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


def in_order(body: dict[str, Any], n: int) -> Call:
    """The call with the answer of a server in order."""
    text = "\n".join(str(message.get("content")) for message in body.get("messages", ()))
    good, bad = text.find("GOOD"), text.find("BAD")
    judged = 0 if min(good, bad) < 0 else 1 if good < bad else -1
    call = Call(body, n, judged, SURE * judged + BIAS)
    first = call.z > 0
    said = ("A" if first else "B") if judged or body.get("logprobs") else _response(body, text)
    if judged and body.get("response_format"):
        said = json.dumps({_verdict_field(body): said})
    call.choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    call.answer = {"id": "x", "object": "chat.completion", "choices": [call.choice], "usage": usage}
    if call.label:
        a, b = call.ab
        rest = [(token, -12.0 - place) for place, token in enumerate(("The", "C", "Both", "Neither", "I", "Well"))]
        call.tokens(*sorted((("A", a), ("B", b)), key=lambda entry: -entry[1]), *rest)
        call.choice["finish_reason"] = "length"
    return call


def _response(body: dict[str, Any], text: str) -> str:
    dice = random.Random(integer(f"{body.get('seed')}{text}"))
    number = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][dice.randrange(9)]
    return f"{dice.choice(('GOOD', 'BAD'))}: the answer is {number}."


def _verdict_field(body: dict[str, Any]) -> str:
    schema = body["response_format"].get("json_schema", {}).get("schema", {})
    return str(next(iter(schema.get("properties", {"verdict": 0}))))
