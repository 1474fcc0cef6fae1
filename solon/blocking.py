"""Run the asynchronous functions from code that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result, also where an event loop runs already, as in a notebook.

    All calls share one loop, in a thread of its own, so that what one call opened another may use and close. Ctrl-C cancels
    the coroutine. Raises RuntimeError from inside a coroutine that `run_sync` itself runs: use `await` there.

    >>> judgment = solon.run_sync(solon.judge("concise", "Say hello.", "Hello!", "No.", engine="replay"))
    >>> judgment.votes[0].method
    'compare'
    """
    loop = _loop()
    if _running() is loop:
        coroutine.close()
        raise RuntimeError("run_sync inside a coroutine that run_sync runs would wait for itself; use await")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="solon", daemon=True).start()
    return loop


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
