"""Several servers as one: what a dead or a slow one costs, and how near equal ones come to the sum of what each could.

python -m benchmarks.pool [--seconds 8]

Servers have fixed slots and latency, each in a process of its own; calls are plain chat completions through `Pool`. Servers, client
and whatever else runs share this machine's cores: beside those of 400 calls a second stand what a bare aiohttp loop gets, and the
client's CPU. A client is one thread, so it cannot make more calls a second than a second has of its CPU for a call.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.common import show
from benchmarks.loopback import running
from constitution.records import Message
from generation.engines.base import Request, Sampling
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings

LIBRARY = "aiohttp"
DEAD = "http://127.0.0.1:9"


class Kind(NamedTuple):
    """A server's speed."""

    slots: int
    latency: float

    @property
    def rate(self) -> float:
        """Calls a second that it can answer."""
        return self.slots / self.latency


SMALL = Kind(8, 0.4)
"""20 calls a second."""
LARGE = Kind(32, 0.08)
"""400 calls a second."""


class Rate(NamedTuple):
    """How fast a client was."""

    share: float
    """Calls a second, of what all servers that live could answer."""
    cpu: float
    """Seconds of the client's CPU, a call."""


Measure = Callable[[list[tuple[str, int]], int], Awaitable[float]]
"""(addresses with their slots, calls) -> calls a second, all calls given at once."""


async def through_pool(urls: list[tuple[str, int]], calls: int) -> float:
    """Ours."""
    members = [Endpoint(EndpointSettings(url=url, model="m", concurrency=slots)) for url, slots in urls]
    pool = Pool(members)
    requests = [
        Request(
            "d", "sample", (), Sampling(48, 0.8, seed=i), messages=(Message(role="user", content=f"Question {i}?"),)
        )
        for i in range(calls)
    ]
    begin = time.perf_counter()
    await asyncio.gather(*map(pool.generate, requests))
    seconds = time.perf_counter() - begin
    await pool.close()
    return calls / seconds


async def bare(urls: list[tuple[str, int]], calls: int) -> float:
    """A worker for each slot, which posts and reads JSON."""
    library = importlib.import_module(LIBRARY)
    waiting = iter(range(calls))
    async with library.ClientSession(connector=library.TCPConnector(limit=0)) as session:

        async def work(url: str) -> None:
            for i in waiting:
                body = {
                    "model": "m",
                    "messages": [{"role": "user", "content": f"Question {i}?"}],
                    "max_tokens": 48,
                    "seed": i,
                }
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    await response.json()

        begin = time.perf_counter()
        await asyncio.gather(*(work(url) for url, slots in urls for _ in range(slots)))
        return calls / (time.perf_counter() - begin)


def rate(kinds: list[Kind], seconds: float, dead: int = 0, measure: Measure = through_pool) -> Rate:
    """Of so many seconds' calls to servers of these kinds, and to some that are dead."""
    possible = sum(kind.rate for kind in kinds)
    with ExitStack() as stack:
        urls = [(stack.enter_context(running(kind.latency, kind.slots)), kind.slots) for kind in kinds]
        urls[1:1] = [(DEAD, 8)] * dead

        calls = int(possible * seconds)

        async def measured() -> Rate:
            begin = time.process_time()
            found = await measure(urls, calls)
            return Rate(found / possible, (time.process_time() - begin) / calls)

        return asyncio.run(measured())


def share(kinds: list[Kind], seconds: float, dead: int = 0) -> float:
    """As `rate`, of ours."""
    return rate(kinds, seconds, dead).share


def main() -> None:
    """All of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8, help="length of each measurement")
    seconds = parser.parse_args().seconds
    importlib.import_module(LIBRARY)  # once, before anything is measured
    alone = share([SMALL] * 2, seconds)
    show("two servers alone, of what they could", alone, "", "none")
    show("two servers and a dead one, of the two alone", share([SMALL] * 2, seconds, dead=1) / alone, "", ">= 0.95")
    slow = Kind(SMALL.slots, SMALL.latency * 5)
    show(
        "two servers and one five times slower, of what three could", share([SMALL] * 2 + [slow], seconds), "", ">= 0.9"
    )
    for servers in (1, 2, 4):
        name = f"{servers} equal servers of {SMALL.rate:.0f} calls a second, of what they could"
        show(name, share([SMALL] * servers, seconds), "", ">= 0.95")
    for servers in (1, 2, 4):
        name = f"{servers} equal servers of {LARGE.rate:.0f} calls a second"
        ours = rate([LARGE] * servers, seconds)
        theirs = rate([LARGE] * servers, seconds, measure=bare)
        show(f"{name}, of what they could", ours.share, "", ">= 0.95")
        show(f"{name}, a bare aiohttp loop, of what they could", theirs.share, "", "none")
        show(f"{name}, of a bare aiohttp loop", ours.share / theirs.share, "", ">= 0.95")
        show(f"{name}, CPU of a call", ours.cpu * 1000, "ms", "none")
        show(f"{name}, CPU of a call by a bare aiohttp loop", theirs.cpu * 1000, "ms", "none")


if __name__ == "__main__":
    main()
