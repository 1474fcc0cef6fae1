"""The servers of one model: asked what they take, and then opened with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from generation.engines.base import Meter, TransientError
from generation.engines.capabilities import EXACT, Capabilities
from generation.servers.batches import Batches
from generation.servers.bodies import TOP_LOGPROBS
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.probe import Questions, as_taken, merged
from generation.servers.settings import EndpointSettings


class Served:
    """A model behind servers. Until they are probed, they are taken to do what most do: list 20 alternatives, refuse nothing."""

    def __init__(self, settings: Sequence[EndpointSettings], model: str) -> None:
        self._settings = tuple(settings)
        self._model = model
        self.found: Capabilities | None = None
        """What a probe found, of these servers or of the same ones in an earlier start."""

    @property
    def capabilities(self) -> Capabilities:
        """What is found, or else assumed."""
        return self.found or merged([_assumed(settings) for settings in self._settings])

    @property
    def addresses(self) -> list[str]:
        """What tells these servers from others."""
        return sorted(settings.url for settings in self._settings)

    def open(self) -> Pool | Batches:
        """The engine. Raises ModelError."""
        taken = [as_taken(s, self.found) if self.found else s for s in self._settings]
        members = [Endpoint(settings, self._model) for settings in taken]
        return Batches(members[0]) if any(one.settings.batch for one in members) else Pool(members)

    async def probe(self, questions: Questions, meter: Meter | None = None) -> Capabilities:
        """Ask every server; those that cannot be reached are left out where another can. meter: is told what that takes.

        Raises ModelError where one of them is set up wrongly, TransientError where none can be reached.
        """
        servers = [Endpoint(settings, self._model) for settings in self._settings]
        for server in servers:
            server.meter = meter
        try:
            answers = await asyncio.gather(*(server.probe(questions) for server in servers), return_exceptions=True)
        finally:
            await asyncio.gather(*(server.close() for server in servers))
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, TransientError):
                raise answer
        known = [answer for answer in answers if isinstance(answer, Capabilities)]
        if not known:
            raise next(answer for answer in answers if isinstance(answer, TransientError))
        self.found = merged(known)
        return self.found


def _assumed(settings: EndpointSettings) -> Capabilities:
    if settings.token_ids:
        return Capabilities(top_logprobs=EXACT)
    return Capabilities(top_logprobs=TOP_LOGPROBS if settings.top_logprobs is None else settings.top_logprobs)
