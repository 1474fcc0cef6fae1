"""Drive all prompts through the pipeline with bounded memory, in order."""

from __future__ import annotations

from asyncio import Semaphore, Task, create_task
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from constitution.records import Failure, Prompt
from generation.engines.base import TransientError
from generation.output.records import Feedback

AHEAD = 4
"""How many times the active rows may be finished or waiting behind a slow one: bounds memory, keeps the engine fed."""

Work = Callable[[Prompt], Awaitable[Feedback]]


async def run(prompts: Iterator[Prompt | Failure], work: Work, rows: int) -> AsyncIterator[Feedback]:
    """Each prompt's outcome in the prompts' order, with `rows` of them active and at most AHEAD times as many held.

    A row that could not be read is a failed outcome. So is one whose engine stayed unavailable; the run is then incomplete.
    """
    active = Semaphore(rows)

    async def one(prompt: Prompt) -> Feedback:
        async with active:
            try:
                return await work(prompt)
            except TransientError as error:
                return Feedback(prompt, failures=(Failure(prompt.id, "engine", UNAVAILABLE, str(error)),))

    waiting: deque[Task[Feedback] | Feedback] = deque()
    try:
        for prompt in prompts:
            waiting.append(create_task(one(prompt)) if isinstance(prompt, Prompt) else unread(prompt))
            while len(waiting) >= AHEAD * rows:
                yield await _outcome(waiting.popleft())
        while waiting:
            yield await _outcome(waiting.popleft())
    finally:
        for task in waiting:
            if isinstance(task, Task):
                task.cancel()


UNAVAILABLE = "unavailable"
"""Reason of a failure that may pass: the run is incomplete; the same command resumes it."""


def unread(failure: Failure) -> Feedback:
    """The outcome of a row that is no prompt."""
    return Feedback(Prompt(id=failure.prompt_id, messages=()), failures=(failure,))


async def _outcome(item: Task[Feedback] | Feedback) -> Feedback:
    return item if isinstance(item, Feedback) else await item
