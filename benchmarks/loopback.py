"""A server of chat completions on loopback, in a process of its own: so many slots, so long a call, and as little work as can be.

    python -m benchmarks.loopback --latency 0.4 --slots 8

prints its port, and serves until it is stopped; with `--says FILE` it writes that file's text alone. A request for
log-probabilities is answered with the label A or B: of two responses of this server, the one that it wrote first is the better
one. A GET of `/calls` says how many calls were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_JUDGED = re.compile(rb'"logprobs": ?true')
_EMPTY = re.compile(rb'"messages": ?\[\]')
"""What asks for the limits of a server alone; it is answered, and not counted."""
_NUMBERS = re.compile(rb"Answer number (\d+)\.")
_USAGE = '"usage": {"prompt_tokens": 100, "completion_tokens": 48, "total_tokens": 148}'


def answer(content: str, finish: str = "stop", logprobs: str = "null") -> bytes:
    """A completion of a chat."""
    message = f'{{"role": "assistant", "content": "{content}"}}'
    choice = f'{{"index": 0, "message": {message}, "finish_reason": "{finish}", "logprobs": {logprobs}}}'
    return http(
        f'{{"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [{choice}], {_USAGE}}}'
    )


def http(body: str) -> bytes:
    """A response of HTTP around some JSON."""
    content = body.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content) + content


def label(best: str, other: str) -> bytes:
    """One token, and the two labels among its alternatives."""
    listed = [f'{{"token": "{token}", "logprob": {p}, "bytes": null' for token, p in ((best, -0.3), (other, -1.4))]
    alternatives = ", ".join(one + "}" for one in listed)
    return answer(best, "length", f'{{"content": [{listed[0]}, "top_logprobs": [{alternatives}]}}]}}')


A, B = label("A", "B"), label("B", "A")
MODELS = http('{"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "loopback"}]}')
_WORDS = " Some words of an answer." * 8


class _Calls:
    """How many there were, those at work and those that wait, over all connections."""

    def __init__(self, slots: int, latency: float) -> None:
        self.answered = 0
        self._free, self._latency = slots, latency
        self._waiting: deque[Callable[[], None]] = deque()

    def begin(self, answer: Callable[[], None]) -> None:
        """Answer as soon as there is a slot, and its time is over."""
        if self._free:
            self._free -= 1
            self._work(answer)
        else:
            self._waiting.append(answer)

    def _work(self, answer: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self._latency, self._end, answer)

    def _end(self, answer: Callable[[], None]) -> None:
        answer()
        if self._waiting:
            self._work(self._waiting.popleft())
        else:
            self._free += 1


class _Connection(asyncio.Protocol):
    def __init__(self, calls: _Calls, says: str) -> None:
        self._calls, self._says = calls, says
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._buffer, 0, end)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < size:
                return
            request = bytes(self._buffer[:size])
            del self._buffer[:size]
            if request.startswith(b"GET "):
                called = request.startswith(b"GET /calls")
                self._transport.write(http(str(self._calls.answered)) if called else MODELS)
                continue
            self._calls.begin(partial(self._answer, request))

    def _answer(self, request: bytes) -> None:
        self._calls.answered += not _EMPTY.search(request)
        if not self._says and _JUDGED.search(request):
            first, *rest = [int(number) for number in _NUMBERS.findall(request)] or [0]
            self._transport.write(B if rest and rest[0] < first else A)
        else:
            self._transport.write(answer(self._says or f"Answer number {self._calls.answered}.{_WORDS}"))


async def serve(latency: float, slots: int, says: str = "") -> None:
    """Serve, for ever. says: what is written, as JSON has it between quotes."""
    calls = _Calls(slots, latency)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(calls, says), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running(latency: float, slots: int, *more: str) -> Iterator[str]:
    """Such a server's address; the process is stopped at the end. more: of its options."""
    command = [sys.executable, "-m", "benchmarks.loopback", "--latency", str(latency), "--slots", str(slots), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a call takes")
    parser.add_argument("--slots", type=int, default=1 << 20, help="calls at once; more wait")
    parser.add_argument("--says", type=Path, help="file of what is written")
    options = parser.parse_args()
    says = json.dumps(options.says.read_text(encoding="utf-8"), ensure_ascii=False)[1:-1] if options.says else ""
    asyncio.run(serve(options.latency, options.slots, says))


if __name__ == "__main__":
    main()
