"""Tasks that end together: none goes on asking models for a result that nobody waits for."""

from __future__ import annotations

from asyncio import Task, create_task, gather
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

from constitution.records import Prompt
from generation.output.records import Feedback

T = TypeVar("T")
Around = Callable[[Prompt], AbstractAsyncContextManager[Feedback | None]]
"""What the work on a prompt is done in; gives the prompt's outcome where it is not to be worked on."""


def freely(_: Prompt) -> AbstractAsyncContextManager[Feedback | None]:
    """Nothing does."""
    return nullcontext()


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
