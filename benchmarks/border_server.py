"""A loopback server of chat completions that misbehaves on request: the `model` of a request names one of `border_kinds.KINDS`.

    python -m benchmarks.border_server     # prints its port, and serves until it is stopped

A response that holds the word GOOD is better than one that holds BAD, in both orders, beside a position bias of 0.5: the right
label is known. `mixed-NN` picks a kind by chance for NN of 100 calls; a GET of `/well` ends all misbehaviour.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from constitution.digest import integer

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
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
    return next(iter(schema.get("properties", {"verdict": 0})))


class Server:
    """Connections, and how often each kind was called."""

    def __init__(self, kinds: dict[str, Misbehave], mixed: dict[str, Misbehave]) -> None:
        self._kinds, self._mixed = kinds, list(mixed.values())
        self._counts: Counter[str] = Counter()
        self._well = False
        self._dice = random.Random(0)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = LENGTH.search(head)
                content = await reader.readexactly(int(found[1])) if found else b""
                reply = self._reply(head, content)
                if callable(reply):
                    await reply(writer)
                    return
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()

    def _reply(self, head: bytes, content: bytes) -> bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]:
        if head.startswith(b"GET /well"):
            self._well = True
            return http(200, {})
        if b" /v1/chat/completions" not in head.split(b"\r\n", 1)[0]:
            return http(404, {"error": {"message": "no such path"}})
        body = json.loads(content)
        name = body.get("model", "")
        self._counts[name] += 1
        call = in_order(body, self._counts[name])
        if name.startswith("mixed-"):
            fault = self._dice.random() * 100 < int(name.removeprefix("mixed-")) and not self._well
            misbehave = self._dice.choice(self._mixed) if fault else None
        else:
            misbehave = self._kinds[name]
        reply = misbehave(call) if misbehave else None
        return http(200, call.answer) if reply is None else reply


async def serve() -> None:
    """Serve, for ever."""
    from benchmarks.border_kinds import KINDS, PASSING  # which builds on what is above

    kinds = {kind.name: kind.misbehave for kind in KINDS}
    server = Server(kinds, {name: kinds[name] for name in PASSING})
    listening = await asyncio.start_server(server.connection, "127.0.0.1", 0, limit=1 << 24, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


@contextmanager
def running() -> Iterator[str]:
    """The server in a process of its own; its address."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.border_server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve())
