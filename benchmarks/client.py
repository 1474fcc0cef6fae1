"""What a call to a server costs this process in CPU: ours, and httpx, the openai package and bare aiohttp beside it.

python -m benchmarks.client [--calls 4000] [--connections 64 256 512]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec

from benchmarks.common import show
from benchmarks.loopback import running
from constitution.records import Message
from generation.engines.base import Request, Sampling
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings

LATENCY = 0.05
PROMPT = "In one sentence, what is special about this number and the one that follows it? " * 10
BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": PROMPT}],
    "max_tokens": 48,
    "temperature": 0.8,
    "seed": 1,
}
Call = Callable[[int], Awaitable[object]]
CLIENTS = ("solon", "aiohttp", "httpx", "openai")


def solon(url: str, connections: int) -> tuple[Call, Callable[[], Awaitable[object]]]:
    """Ours: pool, gate, secrets and reader included."""
    pool = Pool([Endpoint(EndpointSettings(url=url, model="m", concurrency=connections))])
    messages = (Message(role="user", content=PROMPT),)
    return lambda i: pool.generate(Request("d", "sample", (), Sampling(48, 0.8, seed=i), messages=messages)), pool.close


def aiohttp(url: str, connections: int) -> tuple[Call, Callable[[], Awaitable[object]]]:
    """Nothing but the request and its JSON."""
    library = importlib.import_module("aiohttp")
    session = library.ClientSession(connector=library.TCPConnector(limit=connections))

    async def call(_: int) -> object:
        async with session.post(f"{url}/v1/chat/completions", json=BODY) as response:
            return await response.json()

    return call, session.close


def httpx(url: str, connections: int) -> tuple[Call, Callable[[], Awaitable[object]]]:
    """The same with httpx."""
    library = importlib.import_module("httpx")
    client = library.AsyncClient(timeout=600, limits=library.Limits(max_connections=connections))

    async def call(_: int) -> object:
        return (await client.post(f"{url}/v1/chat/completions", json=BODY)).json()

    return call, client.aclose


def openai(url: str, connections: int) -> tuple[Call, Callable[[], Awaitable[object]]]:
    """The package that most scripts use."""
    client = importlib.import_module("openai").AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    return lambda _: client.chat.completions.create(**BODY), client.close


def cpu() -> float:
    """Seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(name: str, url: str, connections: int, calls: int) -> tuple[float, float]:
    """(CPU ms a call, calls a second), after one round that opens the connections."""
    call, close = {"solon": solon, "aiohttp": aiohttp, "httpx": httpx, "openai": openai}[name](url, connections)
    waiting = iter(range(calls))

    async def work() -> None:
        for i in waiting:
            await call(i)

    await asyncio.gather(*(call(i) for i in range(connections)))
    begin, used = time.perf_counter(), cpu()
    await asyncio.gather(*(work() for _ in range(connections)))
    spent, seconds = cpu() - used, time.perf_counter() - begin
    await close()
    return spent / calls * 1000, calls / seconds


def main() -> None:
    """Each client in a process of its own, at each number of connections."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, url, connections = options.one
        print(*asyncio.run(measure(name, url, int(connections), options.calls)))
        return
    with running(LATENCY, 1 << 20) as url:
        for connections in options.connections:
            for name in CLIENTS:
                if name != "solon" and not find_spec(name):
                    continue
                calls = options.calls if name in ("solon", "aiohttp") else options.calls // 4
                command = [sys.executable, "-m", "benchmarks.client", "--calls", str(calls), "--one", name, url]
                out = subprocess.run([*command, str(connections)], check=True, capture_output=True, text=True).stdout
                spent, rate = map(float, out.split())
                target = "<= 1.2" if name == "solon" else "none"
                show(f"{name}: CPU a call at {connections} connections", spent, "ms", target)
                show(f"{name}: calls a second at {connections} connections", rate, "calls/s", "none")


if __name__ == "__main__":
    main()
