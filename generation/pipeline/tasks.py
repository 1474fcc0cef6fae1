"""Tasks that end together: none goes on asking models for a result that nobody waits for."""

from __future__ import annotations

from asyncio import Task, create_task, gather
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


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
