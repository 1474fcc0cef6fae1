"""Drive all prompts through the pipeline with bounded memory, in order."""

from __future__ import annotations

from asyncio import (
    FIRST_COMPLETED,
    CancelledError,
    Event,
    Future,
    Semaphore,
    Task,
    as_completed,
    create_task,
    get_running_loop,
    sleep,
    to_thread,
    wait,
)
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from time import monotonic
from typing import Any, TypeVar

from constitution.records import Failure, Prompt
from generation.calls.budget import LimitReached
from generation.calls.database import StoreError
from generation.engines.base import ModelError, TransientError
from generation.output.records import Feedback
from generation.tasks import cancel

T = TypeVar("T")
AHEAD = 4
"""How many times the active rows may be finished or waiting behind a slow one: bounds memory, keeps the engine fed."""
EVERY, SOON = 50, 0.05
"""Most rows that are read in one go, and seconds after which no more are."""
POLL = 0.05
"""Seconds between two looks at rows that were begun ahead."""
UNAVAILABLE = "unavailable"
"""Reason of a failure that may pass: the run is incomplete; the same command resumes it."""
INTERNAL_ERROR = "internal_error"
"""Reason of a failure that nothing foresaw: an error in a model's answer, a user's function or this program."""
ENDS_THE_RUN = (ModelError, StoreError, LimitReached)
"""Errors that are no row's own: every other row would meet them too."""

Work = Callable[[Prompt], Awaitable[Feedback]]
Around = Callable[[Prompt], AbstractAsyncContextManager[Feedback | None]]
"""What the work on a prompt is done in; gives the prompt's outcome where it is not to be worked on."""


def freely(_: Prompt) -> AbstractAsyncContextManager[Feedback | None]:
    """Nothing does."""
    return nullcontext()


class HeadStart:
    """Begins rows that are not finished before finished ones are passed over, so that a restart does not wait for these.

    It is itself the work on a row: what was begun is awaited, anything else is done as it would be, once `look` has found a first
    row to begin.
    """

    def __init__(self, work: Work, rows: int, is_finished: Callable[[Prompt], bool]) -> None:
        """rows: how many may be active. At most AHEAD times as many are held, begun or come to what cannot be kept."""
        self._work = work
        self._active = Semaphore(rows)
        self._most = AHEAD * rows
        self._is_finished = is_finished
        self._begun: dict[str, tuple[Prompt, Task[Feedback]]] = {}
        self._found = Event()
        """Set while finished rows may be passed over: rows to begin were found, or nobody looks for any."""
        self._found.set()
        self._reached = False
        """The run itself has come to a row that is not finished."""

    async def __call__(self, prompt: Prompt) -> Feedback:
        """The outcome of a row. Raises what the work raises."""
        await self._found.wait()
        if begun := self._begun.pop(prompt.id, None):
            return await begun[1]
        self._reached = self._reached or not self._is_finished(prompt)
        return await self._work(prompt)

    async def look(self, prompts: Iterator[Prompt | Failure]) -> None:
        """Go ahead through the rows until the run has caught up; to be begun before the run. Raises what ENDS_THE_RUN."""
        self._found.clear()
        try:
            async for prompt in read_aside(prompts):
                left = prompt if isinstance(prompt, Prompt) and not self._is_finished(prompt) else None
                if left:
                    await self._room()
                if self._reached:
                    break
                if left:
                    self._begun[left.id] = (left, create_task(self._one(left)))
                    self._found.set()
                    await sleep(0)
            self._found.set()
            for ended in as_completed([task for _, task in self._begun.values()]):
                await self._ended(ended)
        except BaseException:
            await cancel([task for _, task in self._begun.values()])
            raise
        finally:
            self._found.set()

    async def _room(self) -> None:
        """Wait until one more may be held. Rows that are finished and kept by now are let go: the run reads what is kept of them.

        Raises what ENDS_THE_RUN.
        """
        while len(self._begun) >= self._most and not self._reached:
            await sleep(POLL)
            for prompt, task in [*self._begun.values()]:
                if task.done() and self._is_finished(prompt):
                    del self._begun[prompt.id]
                elif task.done():
                    await self._ended(task)

    async def _one(self, prompt: Prompt) -> Feedback:
        async with self._active:
            return await self._work(prompt)

    @staticmethod
    async def _ended(task: Awaitable[Feedback]) -> None:
        try:
            await task
        except ENDS_THE_RUN:
            raise
        except Exception:
            return  # its row's own, which meets it


async def run(
    prompts: Iterator[Prompt | Failure], work: Work, rows: int, beside: Sequence[Task[Any]] = ()
) -> AsyncGenerator[Feedback, None]:
    """Each prompt's outcome in the prompts' order, with `rows` of them active and at most AHEAD times as many held.

    A row that could not be read, or that raises, is a failed outcome; where its engine stayed unavailable, the run is incomplete.
    What ENDS_THE_RUN is raised at once, whichever row or task `beside` them meets it; the others are then cancelled.
    """
    active = Semaphore(rows)
    fatal: Future[None] = get_running_loop().create_future()

    async def one(prompt: Prompt, bad: tuple[Failure, ...]) -> Feedback:
        async with active:
            if fatal.done():
                raise CancelledError
            try:
                return with_failures(await work(prompt), bad)
            except TransientError as error:
                return Feedback(prompt, failures=(Failure(prompt.id, "engine", UNAVAILABLE, str(error)),))
            except ENDS_THE_RUN as error:
                if not fatal.done():
                    fatal.set_exception(error)
                raise
            except Exception as error:  # nobody knows what a row can hold; whatever it is, the others go on
                return Feedback(prompt, failures=(internal_error(prompt, error),))

    def ended(task: Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error and not fatal.done():
            fatal.set_exception(error)

    for task in beside:
        task.add_done_callback(ended)
    waiting: deque[Task[Feedback] | Feedback] = deque()
    try:
        async for prompt, bad in read_aside(with_their_own(prompts)):
            waiting.append(create_task(one(prompt, bad)) if isinstance(prompt, Prompt) else unread(prompt))
            await sleep(0)  # those of all rows' first steps in one go would hold up the loop
            while len(waiting) >= AHEAD * rows:
                yield await _outcome(waiting.popleft(), waiting, fatal)
        while waiting:
            yield await _outcome(waiting.popleft(), waiting, fatal)
    finally:
        for task in beside:
            task.remove_done_callback(ended)
        await cancel([task for task in waiting if isinstance(task, Task)])
        if fatal.done():
            fatal.exception()


async def read_aside(rows: Iterator[T]) -> AsyncGenerator[T, None]:
    """The rows, which are read in a thread, several at a time: what a row holds does not hold up the calls about others."""
    while some := await to_thread(_some, rows):
        for row in some:
            yield row
        await sleep(0)


def _some(rows: Iterator[T]) -> list[T]:
    """The next rows, as many as are read soon."""
    until, found = monotonic() + SOON, list[T]()
    for row in islice(rows, EVERY):
        found.append(row)
        if monotonic() > until:
            break
    return found


def with_their_own(rows: Iterator[Prompt | Failure]) -> Iterator[tuple[Prompt | Failure, tuple[Failure, ...]]]:
    """Each row, and the failures of single responses that came before it and are its own."""
    bad: list[Failure] = []
    for row in rows:
        if isinstance(row, Failure) and row.subject:
            bad.append(row)
        else:
            yield row, tuple(bad)
            bad = []


def with_failures(feedback: Feedback, bad: tuple[Failure, ...]) -> Feedback:
    """The outcome of a prompt some of whose given responses could not be read."""
    return replace(feedback, failures=(*bad, *feedback.failures)) if bad else feedback


def internal_error(prompt: Prompt, error: Exception) -> Failure:
    """The failure of a row that raised."""
    return Failure(prompt.id, "engine", INTERNAL_ERROR, f"{type(error).__name__}: {error}")


def unread(failure: Failure) -> Feedback:
    """The outcome of a row that is no prompt."""
    return Feedback(Prompt(id=failure.prompt_id, messages=()), failures=(failure,))


async def _outcome(
    item: Task[Feedback] | Feedback, waiting: deque[Task[Feedback] | Feedback], fatal: Future[None]
) -> Feedback:
    if isinstance(item, Feedback):
        return item
    try:
        await wait((item, fatal), return_when=FIRST_COMPLETED)
        if fatal.done():
            fatal.result()
        return item.result()
    except BaseException:
        waiting.appendleft(item)
        raise
