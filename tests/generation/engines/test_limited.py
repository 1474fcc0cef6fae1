"""A limit on calls in flight: first in, first out, and nobody's place is lost."""

import asyncio

from generation.engines.base import Completion, Request, Sampling
from generation.engines.limited import Limited

ASK = Request("d", "sample", (1,), Sampling(1))


class Slow:
    """Answers in three turns of the loop, and notes who was let in."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.active = self.most = 0

    async def generate(self, request: Request) -> Completion:
        self.began.append(request.index)
        self.active += 1
        self.most = max(self.most, self.active)
        for _ in range(3):
            await asyncio.sleep(0)
        self.active -= 1
        return Completion("x")

    async def close(self) -> None:
        self.began = []


def numbered(index: int) -> Request:
    return Request("d", "sample", (1,), Sampling(1), index=index)


def test_calls_go_in_the_order_of_coming_and_no_more_than_the_limit_at_once() -> None:
    engine = Slow()

    async def together() -> None:
        limited = Limited(engine, 3)
        await asyncio.gather(*(limited.generate(numbered(i)) for i in range(20)))

    asyncio.run(together())
    assert engine.began == list(range(20))
    assert engine.most == 3


def test_a_call_that_is_given_up_leaves_its_place_to_the_next() -> None:
    engine = Slow()

    async def together() -> None:
        limited = Limited(engine, 1)
        tasks = [asyncio.create_task(limited.generate(numbered(i))) for i in range(6)]
        await asyncio.sleep(0)
        tasks[1].cancel()  # while it waits
        while len(engine.began) < 2:
            await asyncio.sleep(0)
            if limited._waiting and limited._waiting[0].done():
                tasks[2].cancel()  # when its turn has come and it has not begun
        await asyncio.gather(*tasks, return_exceptions=True)
        await limited.generate(numbered(6))

    asyncio.run(asyncio.wait_for(together(), 5))
    assert [index for index in engine.began if index not in (1, 2)] == [0, 3, 4, 5, 6]
    assert engine.most == 1
