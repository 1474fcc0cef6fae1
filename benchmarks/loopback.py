"""A server of chat completions on loopback, in a process of its own: so many slots, so long a call, and as little work as can be.

    python -m benchmarks.loopback --latency 0.4 --slots 8

prints its port, and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BODY = (
    b'{"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "'
    + b"Some words of an answer. " * 8
    + b'"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 100, "completion_tokens": 48, "total_tokens": 148}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY


class _Connection(asyncio.Protocol):
    def __init__(self, slots: asyncio.Semaphore, latency: float) -> None:
        self._slots, self._latency = slots, latency
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

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
            del self._buffer[:size]
            task = asyncio.get_running_loop().create_task(self._answer())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self) -> None:
        async with self._slots:
            await asyncio.sleep(self._latency)
        self._transport.write(ANSWER)


async def serve(latency: float, slots: int) -> None:
    """Serve, for ever."""
    free = asyncio.Semaphore(slots)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(free, latency), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running(latency: float, slots: int) -> Iterator[str]:
    """Such a server's address; the process is stopped at the end."""
    command = [sys.executable, "-m", "benchmarks.loopback", "--latency", str(latency), "--slots", str(slots)]
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
    options = parser.parse_args()
    asyncio.run(serve(options.latency, options.slots))


if __name__ == "__main__":
    main()
