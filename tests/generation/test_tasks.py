"""Work on long texts beside the event loop."""

import asyncio
import threading
from contextvars import ContextVar
from functools import partial

import pytest

from generation.tasks import LONG, aside

FOR_A_LONG_TIME = 60
"""Seconds after which a test gives up waiting for what is to come at once."""


def test_the_loop_goes_on_while_a_long_text_is_read() -> None:
    async def both() -> str:
        turned = threading.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        return await aside(lambda: "read" if turned.wait(FOR_A_LONG_TIME) else "the loop stood still", LONG + 1)

    assert asyncio.run(both()) == "read"


def test_a_short_text_is_read_where_it_is() -> None:
    assert asyncio.run(aside(threading.get_ident, LONG)) == threading.get_ident()
    assert asyncio.run(aside(threading.get_ident, LONG + 1)) != threading.get_ident()


@pytest.mark.parametrize("size", [1, LONG + 1])
def test_what_the_work_raises_is_raised(size: int) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(aside(partial(int, "x"), size))


def test_one_long_text_is_read_at_a_time_in_the_order_in_which_they_came() -> None:
    under_way, most, ended = 0, 0, list[int]()

    def read(number: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        threading.Event().wait(0.005)
        under_way -= 1
        ended.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(aside(partial(read, number), LONG + 1) for number in range(8)))

    asyncio.run(all_of_them())
    assert (most, ended) == (1, [*range(8)])


def test_what_is_set_for_a_task_holds_for_its_work() -> None:
    words = ContextVar("words", default="shipped")

    async def asked() -> str:
        words.set("own")
        return await aside(words.get, LONG + 1)

    assert asyncio.run(asked()) == "own"


def test_where_the_task_is_cancelled_its_work_has_ended() -> None:
    begun, ended = threading.Event(), threading.Event()

    def read() -> None:
        begun.set()
        threading.Event().wait(0.05)
        ended.set()

    async def cancelled() -> bool:
        task = asyncio.create_task(aside(read, LONG + 1))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ended.is_set()

    assert asyncio.run(cancelled())
