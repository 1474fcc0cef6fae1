"""A server on loopback that answers, delays, breaks and refuses by a script."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from constitution.records import Message
from generation.engines.base import Completion, Request, Sampling
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings

CHAT = {
    "choices": [{"message": {"content": "hello"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
}
VERDICT = {
    "choices": [
        {
            "message": {"content": "A"},
            "finish_reason": "stop",
            "logprobs": {
                "content": [{"top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "x", "logprob": -3.0}]}]
            },
        }
    ]
}
SAY = Request("d", "sample", (), Sampling(8, 0.5, 0.9, 3, ("END",)), messages=(Message(role="user", content="hi"),))
JUDGE = Request(
    "d", "compare", (), Sampling(1), (("A", -1), ("B", -1)), messages=(Message(role="user", content="A or B?"),)
)
Behaviour = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]
"""json or raw, status, headers, delay (s), cut (hangs up before the end), drip (s between bytes), encoding of raw; or what makes
that of a request's body."""


class Server(ThreadingHTTPServer):
    """Answers by a list of behaviours; the last one goes on."""

    request_queue_size = 128

    def __init__(self, *behaviours: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours = list(behaviours)
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.began: list[float] = []
        self.active = self.most = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the script."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), body))
            self.server.began.append(time.monotonic())
            script = self.server.behaviours
            behaviour = script.pop(0) if len(script) > 1 else script[0]
            behaviour = behaviour(body) if callable(behaviour) else behaviour
            self.server.active += 1
            self.server.most = max(self.server.most, self.server.active)
        time.sleep(behaviour.get("delay", 0))
        with self.server.lock:
            self.server.active -= 1
        payload = behaviour.get("raw", json.dumps(behaviour.get("json", {})).encode())
        self.send_response(behaviour.get("status", 200))
        for name, value in behaviour.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload) + (100 if behaviour.get("cut") else 0)))
        self.end_headers()
        if "drip" in behaviour:
            for byte in payload:
                self.wfile.write(bytes([byte]))
                time.sleep(behaviour["drip"])
        else:
            self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def settings(server: Server, **more: Any) -> EndpointSettings:
    quick = {"url": f"{server.url}/v1", "model": "m", "backoff_seconds": 0.01, "attempts": 3, "max_wait_seconds": 0.3}
    return EndpointSettings.model_validate({**quick, **more})


def ask(chosen: EndpointSettings, *requests: Request) -> list[Completion | BaseException]:
    """All requests at once, of one server."""

    async def together() -> list[Completion | BaseException]:
        pool = Pool([Endpoint(chosen)])
        try:
            return list(await asyncio.gather(*(pool.generate(r) for r in requests), return_exceptions=True))
        finally:
            await pool.close()

    return asyncio.run(together())


def in_turn(chosen: EndpointSettings, *requests: Request) -> list[Completion | BaseException]:
    """One request after the other, of one server."""

    async def together() -> list[Completion | BaseException]:
        pool = Pool([Endpoint(chosen)])
        try:
            return [(await asyncio.gather(pool.generate(r), return_exceptions=True))[0] for r in requests]
        finally:
            await pool.close()

    return asyncio.run(together())
