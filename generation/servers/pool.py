"""Several engines as one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from constitution.digest import integer
from generation.engines.base import Completion, Engine, RefusedError, Request, TransientError


@dataclass(slots=True)
class _Member:
    engine: Engine
    load: int = 0
    skipped_until: float = 0.0


class Pool:
    """Several engines as one: calls that share a prefix go to the same one while its load allows."""

    def __init__(self, engines: Sequence[Engine], slack: int = 8, cooldown_seconds: float = 30.0) -> None:
        """A member may carry `slack` calls more than the least loaded one before affinity gives way.

        A member that raises TransientError is left alone for the cool-down.
        """
        self._members = [_Member(engine) for engine in engines]
        self._slack = slack
        self._cooldown = cooldown_seconds

    async def generate(self, request: Request) -> Completion:
        """The first answer to be had.

        Where no member gives one, raises TransientError if any is unavailable, since it might answer later, else RefusedError.
        """
        tried: set[int] = set()
        unavailable: TransientError | None = None
        while True:
            member = self._pick(request, tried)
            member.load += 1
            try:
                return await member.engine.generate(request)
            except (TransientError, RefusedError) as error:
                if isinstance(error, TransientError):
                    member.skipped_until = time.monotonic() + self._cooldown
                    unavailable = error
                tried.add(id(member))
                if len(tried) == len(self._members):
                    raise unavailable or error from None
            finally:
                member.load -= 1

    async def close(self) -> None:
        """Close every member."""
        await asyncio.gather(*(member.engine.close() for member in self._members))

    def _pick(self, request: Request, tried: set[int]) -> _Member:
        now = time.monotonic()
        untried = [m for m in self._members if id(m) not in tried]
        present = [m for m in untried if m.skipped_until <= now] or untried
        least = min(m.load for m in present)
        prefix = json.dumps(request.tokens[:128] or [m.model_dump(mode="json") for m in request.messages[:1]])

        def affinity(member: _Member) -> int:
            return integer(f"{self._members.index(member)}:{prefix}")

        return max((m for m in present if m.load <= least + self._slack), key=affinity)
