"""Tasks that end together, so that none goes on for a result that nobody waits for; and work beside the event loop, so that no text
holds up the calls about others."""

from __future__ import annotations

from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Lock,
    Task,
    create_task,
    gather,
    get_running_loop,
    shield,
    to_thread,
    wait,
)
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
LONG = 10_000
"""Characters of texts that are read sooner than a thread has taken them over, whoever wrote them."""
_lanes: WeakKeyDictionary[AbstractEventLoop, defaultdict[str, Lock]] = WeakKeyDictionary()


async def together(*steps: Coroutine[Any, Any, T]) -> list[T]:
    """All results, as `asyncio.gather`; where a step fails, the others are cancelled and have ended before it raises."""
    tasks = [create_task(step) for step in steps]
    try:
        return list(await gather(*tasks))
    except BaseException:
        await cancel(tasks)
        raise


async def cancel(tasks: Sequence[Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, whatever they raise."""
    for task in tasks:
        task.cancel()
    await gather(*tasks, return_exceptions=True)


async def aside(work: Callable[[], T], characters: int, lane: str = "texts") -> T:
    """What the work returns or raises. On texts of more characters than LONG it is done in a thread.

    Of a lane one piece of such work is done at a time: threads take turns, and the event loop would wait for the turns of all.
    Where the task is cancelled, the work has ended before it raises.
    """
    if characters <= LONG:
        return work()
    async with _lanes.setdefault(get_running_loop(), defaultdict(Lock))[lane]:
        done = create_task(to_thread(work))
        try:
            return await shield(done)
        except CancelledError:
            await wait((done,))
            raise
