"""Limits of what a run may spend: a call is made only where the most it can cost still fits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from constitution.errors import Unavailable
from generation.calls.prices import Spent, Tariff
from generation.engines.base import Completion, Engine, Request, Usage


class Limits(NamedTuple):
    """The most that all starts of a run may spend together; None is no limit."""

    cost: float | None = None
    calls: int | None = None
    tokens: int | None = None


NO_LIMITS = Limits()
NOTHING = Spent()


class LimitReached(Unavailable):
    """The next call might pass a limit. What was made is stored; the same command with a higher limit resumes."""


def most(request: Request, tariff: Tariff) -> Spent:
    """The most that a call can come to: tokens of its prompt, known or guessed, and all that it may write and think."""
    written = request.most_written + tariff.thinking.get(request.model, 0)
    return tariff.ahead(request.model, Usage(request.prompt_size, 0, written))


class Budget:
    """What was spent and what calls under way may still take, against the limits."""

    def __init__(self, tariff: Tariff, limits: Limits = NO_LIMITS, before: Spent = NOTHING) -> None:
        """before: what earlier starts of the run have spent."""
        self.tariff = tariff
        self.spent = before
        self._limits = limits
        self._under_way = Spent()
        self._reached = ""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def reserve(self, request: Request) -> Spent:
        """Room for a call, once there is some. Raises LimitReached where there is none and no call under way can leave any."""
        need = most(request, self.tariff)
        while (over := self._over(self.spent.plus(self._under_way).plus(need))) or self._reached:
            if not self._under_way.calls and not self._reached:
                self._reached = self._words(over, need)
            if self._reached:  # a smaller call might fit; but the run ends, and what it has spent is told
                self._wake()
                raise LimitReached(self._reached)
            await self._wait()
        self._under_way = self._under_way.plus(need)
        self._wake()  # there may be room for the next as well
        return need

    def settle(self, reserved: Spent, request: Request, completion: Completion | None) -> None:
        """Give the room back, and count the call where it was answered."""
        self._under_way = self._under_way.less(reserved) if self._under_way.calls > reserved.calls else Spent()
        if completion:
            self.spent = self.spent.plus(self.tariff.spent(request.model, completion.usage))
        self._wake()

    def check(self, request: Request) -> None:
        """Raises LimitReached where there is no room for a call that nobody reserves."""
        need = most(request, self.tariff)
        if over := self._over(self.spent.plus(self._under_way).plus(need)):
            raise LimitReached(self._words(over, need))

    def pay(self, request: Request, usage: Usage) -> None:
        """Count a try that came to nothing. Raises LimitReached where what is reserved for the call has no room any more."""
        self.spent = self.spent.plus(self.tariff.spent(request.model, usage))
        if over := self._over(self.spent.plus(self._under_way)):
            self._reached = self._reached or self._words(over, most(request, self.tariff))
            self._wake()
            raise LimitReached(self._reached)

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _over(self, what: Spent) -> str:
        """The option whose limit this would pass, and the limit; empty where none."""
        cost, calls, tokens = self._limits
        if cost is not None and what.cost > cost:
            return f"--max-cost {cost:g}"
        if calls is not None and what.calls > calls:
            return f"--max-calls {calls}"
        return f"--max-tokens {tokens}" if tokens is not None and what.tokens > tokens else ""

    def _words(self, over: str, need: Spent) -> str:
        money = f" and {self.tariff.money(need.cost)}" if need.cost else ""
        next_call = f"the next call may take {need.tokens:,} tokens{money}"
        fix = "run the same command with a higher limit to resume"
        return f"stopped by {over}: spent {in_words(self.spent, self.tariff)}; {next_call}; {fix}"


def in_words(what: Spent, tariff: Tariff) -> str:
    """Calls, tokens and money as a message shows them."""
    parts = [f"{what.calls:,} calls", f"{what.tokens:,} tokens"]
    if tariff.prices:
        parts.append(tariff.money(what.cost))
    if what.estimated:
        parts.append(f"of the tokens {what.estimated:,} estimated, as nobody reported them")
    return ", ".join(parts)


class Metered:
    """Keeps an engine's calls within a budget."""

    def __init__(self, engine: Engine, budget: Budget) -> None:
        self._engine = engine
        self._budget = budget

    async def generate(self, request: Request) -> Completion:
        """The engine's answer. Raises LimitReached in its place where the budget has no room for it."""
        reserved = await self._budget.reserve(request)
        completion = None
        try:
            completion = await self._engine.generate(request)
        finally:
            self._budget.settle(reserved, request, completion)
        return completion

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()
