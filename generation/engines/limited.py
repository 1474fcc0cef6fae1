"""An engine around an engine: a limit on calls in flight."""

from __future__ import annotations

import asyncio

from generation.engines.base import Completion, Engine, Request


class Limited:
    """At most n calls in flight; the rest wait in order."""

    def __init__(self, engine: Engine, n: int) -> None:
        self._engine = engine
        self._slots = asyncio.Semaphore(n)

    async def generate(self, request: Request) -> Completion:
        """The engine's answer, once there is a place."""
        async with self._slots:
            return await self._engine.generate(request)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()
