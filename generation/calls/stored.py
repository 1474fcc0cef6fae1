"""The wrapper that makes no call twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from generation.calls.store import CallStore
from generation.engines.base import Completion, Engine, Request
from generation.tasks import aside

Observer = Callable[[Request, Completion, bool, float], None]
"""Called after each answer with (request, completion, reused, seconds)."""


class Stored:
    """Answers from the store; asks the engine, which is opened at the first miss, for the rest.

    Equal requests in flight at once are one call, and only calls that are made are encoded. What the engine or the encoding
    raises is passed on and not stored, so the next run asks again.
    """

    encodes: Literal[True] = True

    def __init__(self, store: CallStore, open_engine: Callable[[], Awaitable[Engine]], observer: Observer) -> None:
        self._store = store
        self._open_engine = open_engine
        self._observer = observer
        self._engine: asyncio.Task[Engine] | None = None
        self._in_flight: dict[bytes, asyncio.Task[Completion]] = {}

    async def generate(self, request: Request) -> Completion:
        """The stored answer, or the engine's, which is then stored. Raises what engine and encoding raise, and StoreError."""
        key = await aside(request.key, request.characters)
        begin = time.monotonic()
        call = self._in_flight.get(key)
        made = False
        if call is None:
            completion = self._store.get(key)
            if completion is not None:
                self._observer(request, completion, True, 0.0)
                return completion
            made = True
            call = self._in_flight[key] = asyncio.create_task(self._make(key, request))
            call.add_done_callback(partial(self._done, key))
        completion = await asyncio.shield(call)
        self._observer(request, completion, not made, time.monotonic() - begin)
        return completion

    async def drain(self) -> None:
        """Wait for the calls under way, which are stored whether or not anybody still waits for their answers."""
        while self._in_flight:
            await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def close(self) -> None:
        """Give up the calls under way, and close the engine, if one was opened."""
        for call in self._in_flight.values():
            call.cancel()
        await self.drain()
        if self._engine is not None:
            engine, self._engine = self._engine, None
            if engine.done() and not engine.cancelled() and engine.exception() is None:
                await engine.result().close()
            else:
                engine.cancel()

    def _done(self, key: bytes, call: asyncio.Task[Completion]) -> None:
        self._in_flight.pop(key, None)
        if not call.cancelled():
            call.exception()  # seen; else asyncio prints it where whoever asked has been cancelled meanwhile

    async def _make(self, key: bytes, request: Request) -> Completion:
        request = await aside(request.encoded, request.characters)
        if self._engine is None:
            self._engine = asyncio.ensure_future(self._open_engine())
        engine = await asyncio.shield(self._engine)
        begin = time.monotonic()
        completion = await engine.generate(request)
        self._store.put(key, request, completion, time.monotonic() - begin)
        return completion
