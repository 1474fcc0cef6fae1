"""A loopback server of chat completions that misbehaves on request: the `model` of a request names one of `border_kinds.KINDS`.

    python -m benchmarks.border_server     # prints its port, and serves until it is stopped

`mixed-NN` draws one of `border_kinds.PASSING` for NN of 100 calls; a GET of `/well` ends all misbehaviour.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from benchmarks.border_call import Misbehave, http, in_order
from benchmarks.border_forms import FORMS
from benchmarks.border_http import HTTP
from benchmarks.border_kinds import KINDS, PASSING

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


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
    kinds = {kind.name: kind.misbehave for kind in KINDS} | HTTP | FORMS
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
