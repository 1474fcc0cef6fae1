"""Several servers as one: what a dead or a slow one costs, and how near equal ones come to the sum of what each could.

python -m benchmarks.pool [--seconds 8]

Servers have fixed slots and latency, each in a process of its own; calls are plain chat completions through `Pool`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.common import show
from benchmarks.loopback import running
from constitution.records import Message
from generation.engines.base import Request, Sampling
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings

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


async def measure(urls: list[tuple[str, int]], calls: int) -> float:
    """Calls a second, all calls given at once."""
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


def share(kinds: list[Kind], seconds: float, dead: int = 0) -> float:
    """Calls a second as a share of what all servers that live could answer."""
    possible = sum(kind.rate for kind in kinds)
    with ExitStack() as stack:
        urls = [(stack.enter_context(running(kind.latency, kind.slots)), kind.slots) for kind in kinds]
        urls[1:1] = [(DEAD, 8)] * dead
        return asyncio.run(measure(urls, int(possible * seconds))) / possible


def main() -> None:
    """All of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8, help="length of each measurement")
    seconds = parser.parse_args().seconds
    alone = share([SMALL] * 2, seconds)
    show("two servers alone, of what they could", alone, "", "none")
    show("two servers and a dead one, of the two alone", share([SMALL] * 2, seconds, dead=1) / alone, "", ">= 0.95")
    slow = Kind(SMALL.slots, SMALL.latency * 5)
    show(
        "two servers and one five times slower, of what three could", share([SMALL] * 2 + [slow], seconds), "", ">= 0.9"
    )
    for kind in (SMALL, LARGE):
        for servers in (1, 2, 4):
            name = f"{servers} equal servers of {kind.rate:.0f} calls a second, of what they could"
            show(name, share([kind] * servers, seconds), "", ">= 0.95")


if __name__ == "__main__":
    main()
