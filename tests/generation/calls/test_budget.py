"""Limits of what is spent: never passed by what calls may at most take, and no call that fits is refused."""

import asyncio
from dataclasses import replace

import pytest

from constitution.records import Message
from generation.calls.budget import Budget, LimitReached, Limits, Metered, most
from generation.calls.prices import Price, Spent, Tariff
from generation.engines.base import (
    Completion,
    Engine,
    ErrorReason,
    Request,
    Sampling,
    TransientError,
    Usage,
    failed,
)

TARIFF = Tariff({"m": Price(prompt=1_000_000, completion=2_000_000)})
"""One for each token read, two for each written."""


def request(index: int = 0, model: str = "m") -> Request:
    return Request(model, "sample", (1, 2, 3), Sampling(10), index=index)


class Writer:
    """An engine that writes 4 tokens a call, a while later; most is the largest number of calls at once."""

    def __init__(self, answer: Completion | Exception | None = None) -> None:
        self.answer = answer or Completion("x", usage=Usage(3, 0, 4))
        self.active = self.most = self.calls = 0

    async def generate(self, request: Request) -> Completion:
        self.calls += 1
        self.active += 1
        self.most = max(self.most, self.active)
        await asyncio.sleep(0.001)
        self.active -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None: ...


def ask(engine: Engine, budget: Budget, count: int) -> list[Completion | BaseException]:
    async def together() -> list[Completion | BaseException]:
        metered = Metered(engine, budget)
        return list(await asyncio.gather(*(metered.generate(request(i)) for i in range(count)), return_exceptions=True))

    return asyncio.run(together())


def test_the_most_a_call_can_take() -> None:
    assert most(request(), TARIFF) == Spent(1, 3, 0, 10, 23.0)
    assert most(request(model="other"), TARIFF).cost == 0
    thinks = replace(TARIFF, thinking={request().model: 500})
    assert most(request(), thinks).completion == 510
    said = Request("m", "sample", (), Sampling(10), messages=(Message(role="user", content="x" * 300),), tools="y" * 30)
    assert said.prompt_size == 330 // 3 + 8


@pytest.mark.parametrize(
    ("limits", "calls", "at_once"),
    [
        (Limits(), 50, 50),
        (Limits(calls=20), 20, 20),
        (Limits(calls=0), 0, 0),
        # a call may take 13 tokens and takes 7: 15 of them leave too little room of 115 for one more, and 8 fit at once
        (Limits(tokens=115), 15, 8),
        # likewise 23 and 11: after 8 calls 12 of 100 are left
        (Limits(cost=100), 8, 4),
        (Limits(cost=1e9, calls=30, tokens=10**9), 30, 30),
    ],
)
def test_calls_are_made_while_the_most_they_can_take_fits(limits: Limits, calls: int, at_once: int) -> None:
    engine, budget = Writer(), Budget(TARIFF, limits)
    answers = ask(engine, budget, 50)
    assert engine.calls == calls == sum(isinstance(answer, Completion) for answer in answers)
    assert engine.most == at_once
    assert all(isinstance(answer, Completion | LimitReached) for answer in answers)
    assert budget.spent == Spent(calls, 3 * calls, 0, 4 * calls, 11.0 * calls, 0)


def test_what_earlier_starts_spent_counts() -> None:
    engine, budget = Writer(), Budget(TARIFF, Limits(calls=5), Spent(calls=3, prompt=1000, cost=12.5))
    refused = [answer for answer in ask(engine, budget, 4) if isinstance(answer, LimitReached)]
    assert engine.calls == 2
    assert len(refused) == 2
    words = "stopped by --max-calls 5: spent 5 calls, 1,014 tokens, 34.50 USD; the next call may take 13 tokens and 23.00 USD; "
    assert str(refused[0]) == words + "run the same command with a higher limit to resume"


@pytest.mark.parametrize(
    ("answer", "spent"),
    [
        (TransientError("gone"), Spent()),
        (failed(ErrorReason.CONTENT_REFUSED, "no"), Spent(calls=30)),
        (Completion("", usage=Usage(1, 0, 2, 3)), Spent(30, 30, 0, 60, 150.0, 90)),
    ],
)
def test_a_call_without_tokens_gives_its_room_back(answer: Completion | Exception, spent: Spent) -> None:
    engine, budget = Writer(answer), Budget(TARIFF, Limits(tokens=103))
    ask(engine, budget, 30)
    assert engine.calls == 30
    assert budget.spent == spent


def test_a_cancelled_wait_takes_nobody_elses_turn() -> None:
    async def go() -> int:
        engine, budget = Writer(), Budget(TARIFF, Limits(tokens=100))
        metered = Metered(engine, budget)
        tasks = [asyncio.create_task(metered.generate(request(i))) for i in range(12)]
        await asyncio.sleep(0)
        for task in tasks[7:11]:  # those that wait, but for the last
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(isinstance(one, Completion) for one in done)

    assert asyncio.run(asyncio.wait_for(go(), 10)) == 8


def test_once_a_limit_is_reached_nobody_waits_and_nothing_is_made() -> None:
    async def go() -> list[Completion | BaseException]:
        engine, budget = Writer(), Budget(TARIFF, Limits(tokens=40))
        metered = Metered(engine, budget)
        small = [Request("m", "compare", (1,), Sampling(1), index=i) for i in range(5)]
        calls = [request(i) for i in range(5)] + small + [request(i) for i in range(5, 10)]
        return list(await asyncio.gather(*map(metered.generate, calls), return_exceptions=True))

    found = asyncio.run(asyncio.wait_for(go(), 10))
    assert {type(one) for one in found} == {Completion, LimitReached}
    assert len({str(one) for one in found if isinstance(one, LimitReached)}) == 1


def test_a_try_that_came_to_nothing_counts_and_ends_the_call_where_there_is_no_room_for_another() -> None:
    class Fickle(Writer):
        budget: Budget

        async def generate(self, request: Request) -> Completion:
            while self.calls < 2:
                self.calls += 1
                self.budget.pay(request, Usage(3, 0, 6, 9))
            return await super().generate(request)

    found = []
    for limit in (31, 30):  # two tries of 9 tokens, and one more may take 13
        engine = Fickle()
        engine.budget = Budget(TARIFF, Limits(tokens=limit))
        found += ask(engine, engine.budget, 1)
    assert isinstance(found[0], Completion)
    assert isinstance(found[1], LimitReached)
    words = "stopped by --max-tokens 30: spent 2 calls, 18 tokens, 30.00 USD, of the tokens 18 estimated, as nobody reported them"
    assert str(found[1]).startswith(words)


def test_a_probe_is_made_only_where_it_fits() -> None:
    budget = Budget(TARIFF, Limits(calls=1))
    budget.check(request())
    budget.pay(request(), Usage(3, 0, 1))
    with pytest.raises(LimitReached, match="stopped by --max-calls 1: spent 1 calls"):
        budget.check(request())


def test_calls_by_a_batch_api_are_reserved_at_its_price() -> None:
    tariff = replace(TARIFF, batched=frozenset({"m"}))
    assert most(request(), tariff).cost == 11.5
    assert tariff.spent("m", Usage(3, 0, 4)).cost == 11  # as probes are paid
    assert tariff.spent("m", Usage(3, 0, 4, batched=True)).cost == 5.5
