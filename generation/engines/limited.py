"""An engine around an engine: a limit on calls in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

from generation.engines.base import Completion, Engine, Keeps, Meter, Paid, Request


class Limited:
    """At most n calls in flight; the rest wait in the order of coming, and each waits and is woken in constant time."""

    def __init__(self, engine: Engine, n: int) -> None:
        self._engine = engine
        self._free = n
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def generate(self, request: Request) -> Completion:
        """The engine's answer, once there is a place."""
        await self._enter()
        try:
            return await self._engine.generate(request)
        finally:
            self._leave()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    def keep_in(self, folder: Path) -> None:
        """Let the engine keep what it has to keep."""
        if isinstance(self._engine, Keeps):
            self._engine.keep_in(folder)

    def count_with(self, meter: Meter) -> None:
        """Let the engine tell what it pays beside its answers."""
        if isinstance(self._engine, Paid):
            self._engine.count_with(meter)

    async def _enter(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place was given to a call that no longer wants it
            raise

    def _leave(self) -> None:
        """Give the place to the next that still waits. It is never free between, so nobody who comes now overtakes."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
