"""One server, or several as one: calls wait in one queue, and a server gets one when it has room."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    Meter,
    ModelError,
    RefusedError,
    Request,
    TransientError,
)
from generation.servers.endpoint import AgainError, Endpoint
from generation.servers.gate import Outcome, Ticket

_LOOK_AHEAD = 16
"""Calls at the front of the queue that may overtake each other, where the first cannot go to whichever server has room."""
_SLOW, _NOISE = 2.0, 0.05
"""A server this many times slower than others, and by so many seconds, gets no call that they would have done sooner."""
_PREFIX_TOKENS, _PREFIX_CHARACTERS = 128, 512
"""Calls that begin alike in so much are sent to one server while it has room, for its prefix cache."""


@dataclass(slots=True)
class _Call:
    """A request, and what became of it so far."""

    request: Request
    tries: int = 0
    progress: int = -1
    """Calls that had been answered when this one met a limit last."""
    malformed: bool = True
    """Every try so far was answered, and by no completion."""
    avoided: set[int] = field(default_factory=set)
    """Servers that failed it, which are asked again only where there is no other."""
    refused: dict[int, RefusedError] = field(default_factory=dict)
    """Servers that refused it, which are not asked again."""
    turn: asyncio.Future[tuple[int, Ticket]] | None = None


class Pool:
    """Servers of one model. A server's trouble comes back at once, and the call goes to another."""

    def __init__(self, members: Sequence[Endpoint]) -> None:
        self._members = list(members)
        self._queue: deque[_Call] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last: AgainError | None = None
        self._wrong: ModelError | None = None

    def __repr__(self) -> str:
        return f"Pool({self._members!r})"

    async def generate(self, request: Request) -> Completion:
        """The first answer to be had.

        Raises TransientError, with what the server said last, where none came in `attempts` tries; RefusedError where every server
        refuses the request or sends what is no completion; ModelError where settings are wrong.
        """
        call = _Call(request)
        while True:
            index, ticket = await self._turn(call)
            member = self._members[index]
            try:
                return await member.ask(request, ticket)
            except RefusedError as error:
                call.refused[index] = error
                if len(call.refused) == len(self._members):
                    raise
            except ModelError as error:
                self._wrong = error
                self._release(error)
                raise
            except AgainError as error:
                self._last = error
                await self._failed(call, index, error)
            finally:
                self._dispatch()

    def count_with(self, meter: Meter) -> None:
        """Tell the meter of answers that were paid and are none."""
        for member in self._members:
            member.meter = meter

    async def close(self) -> None:
        """Close every server's connections."""
        if self._timer:
            self._timer.cancel()
        await asyncio.gather(*(member.close() for member in self._members))

    async def _failed(self, call: _Call, index: int, error: AgainError) -> None:
        """Give up, or wait as long as the next try must. Raises TransientError and RefusedError."""
        member = self._members[index]
        # a limit says nothing of the call: while others are answered, it has only to wait for its turn
        answered = sum(one.gate.answered for one in self._members)
        if not error.limited or answered == call.progress:
            call.tries += 1
        call.progress = answered if error.limited else call.progress
        call.malformed = call.malformed and error.malformed
        call.avoided.add(index)
        others = [one for one in self._members if one is not member and not one.gate.down]
        if call.tries >= max(one.settings.attempts for one in self._members):
            if call.malformed:
                raise RefusedError(CallError(ErrorReason.BAD_ANSWER, str(error))) from None
            raise error
        self._dispatch()
        if not others and not error.limited:
            s = member.settings
            await asyncio.sleep(min(s.max_wait_seconds, s.backoff_seconds * 2.0 ** (call.tries - 1)) * random.random())

    async def _turn(self, call: _Call) -> tuple[int, Ticket]:
        """A server that has room for this call, in the order of coming. Raises TransientError where all are down."""
        if self._wrong:
            raise ModelError(self._wrong.problems)
        if not self._queue and (chosen := self._admit(call, self._open(time.monotonic()))):
            return chosen
        call.turn = asyncio.get_running_loop().create_future()
        # what was tried before waited its turn already
        (self._queue.appendleft if call.tries else self._queue.append)(call)
        if call.tries or len(self._queue) <= _LOOK_AHEAD:  # else it cannot go before one of those that wait
            self._dispatch()
        try:
            return await call.turn
        except asyncio.CancelledError:
            if call.turn.done() and not call.turn.cancelled() and call.turn.exception() is None:
                index, ticket = call.turn.result()
                self._members[index].gate.end(ticket, Outcome.UNKNOWN)
            elif call in self._queue:
                self._queue.remove(call)
            self._dispatch()
            raise

    def _dispatch(self) -> None:
        """Give waiting calls to servers that have room, and come again when the next has."""
        now = time.monotonic()
        while self._queue and (chosen := self._next(now)):
            position, turn = chosen
            call = self._queue[position]
            del self._queue[position]
            if turn is not None and call.turn is not None:
                call.turn.set_result(turn)
        if self._queue and self._last and all(member.gate.down for member in self._members):
            self._release(self._last)
        self._wake(now)

    def _next(self, now: float) -> tuple[int, tuple[int, Ticket] | None] | None:
        """Place in the queue of a call that is done with waiting, and its turn if it still wants one; None where no call can go."""
        open_now = self._open(now)
        for position in range(min(_LOOK_AHEAD, len(self._queue)) if open_now else 0):
            call = self._queue[position]
            if call.turn is not None and call.turn.done():
                return position, None
            if turn := self._admit(call, open_now):
                return position, turn
        return None

    def _open(self, now: float) -> list[int]:
        """Servers that have room now."""
        return [i for i, member in enumerate(self._members) if member.gate.opens_in(now) == 0]

    def _release(self, error: AgainError | ModelError) -> None:
        """End what waits: it has no better chance where no server answers, however often one is tried, or settings are wrong."""
        for call in self._queue:
            if call.turn is not None and not call.turn.done():
                call.turn.set_exception(_another(error))
        self._queue.clear()

    def _wake(self, now: float) -> None:
        """Look again when a server opens of its own, without a call that ends."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._queue:
            return
        waits = [wait for member in self._members if (wait := member.gate.opens_in(now)) is not None]
        if waits:
            # a call that only waits for a faster server looks again when that one has room
            self._timer = asyncio.get_running_loop().call_later(max(0.001, min(waits) or 0.05), self._dispatch)

    def _admit(self, call: _Call, open_now: list[int]) -> tuple[int, Ticket] | None:
        """Choose a server for a call, among those that have room, and begin it there; None where it had better wait."""
        open_now = [i for i in open_now if i not in call.refused]
        if not open_now:
            return None
        fresh = [i for i in open_now if i not in call.avoided]
        if not fresh and self._other_may(call):
            return None
        index = self._choose(call, fresh or open_now)
        if index is None:
            return None
        member = self._members[index]
        return index, member.gate.begin(member.tokens(call.request))

    def _other_may(self, call: _Call) -> bool:
        """True where a server that has not failed this call works and is only busy."""
        return any(
            i not in call.avoided and i not in call.refused and member.gate.rounds == 0
            for i, member in enumerate(self._members)
        )

    def _choose(self, call: _Call, open_now: list[int]) -> int | None:
        """The server that calls of this beginning go to, if it has room, else the one with most room."""
        if len(self._members) == 1:
            return 0
        useful = [i for i in open_now if self._useful(i, call)]
        if not useful:
            return None
        favourite = _favourite(call.request, len(self._members))
        if favourite in useful:
            return favourite
        return max(useful, key=lambda i: self._members[i].gate.limit - self._members[i].gate.active)

    def _useful(self, index: int, call: _Call) -> bool:
        """False for a slow server while the faster ones would be through with the whole queue before it is with one call."""
        gate = self._members[index].gate
        working = [
            one.gate
            for i, one in enumerate(self._members)
            if one.gate.rounds == 0 and i not in call.refused and i not in call.avoided
        ]
        # of a server that has answered nothing yet, nothing is known
        faster = [
            one for one in working if one.seconds and max(one.seconds * _SLOW, one.seconds + _NOISE) < gate.seconds
        ]
        if not faster:
            return True
        rate = sum(one.limit / one.seconds for one in faster)
        return gate.seconds <= (len(self._queue) + 1) / rate + min(one.seconds for one in faster)


def _another(error: AgainError | ModelError) -> Exception:
    """The same error for another call: one exception must not be raised in two places."""
    return ModelError(error.problems) if isinstance(error, ModelError) else TransientError(str(error))


def _favourite(request: Request, members: int) -> int:
    """The server that requests of one beginning have in common, in this process."""
    if request.tokens:
        return hash(request.tokens[:_PREFIX_TOKENS]) % members
    return hash(request.messages[0].content[:_PREFIX_CHARACTERS] if request.messages else "") % members
