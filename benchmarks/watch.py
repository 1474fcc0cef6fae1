"""How long an event loop does not answer, and where it is then."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from types import FrameType

from benchmarks.common import ROOT

BEAT = 0.001
"""Seconds between two signs of life of a loop."""
SEEN = 0.04
"""Seconds without one after which it is looked at where the loop is."""


class Watch:
    """Measures the waits of an event loop from inside, and looks at it from another thread while it does not answer."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.where = ""
        self._last = time.perf_counter()
        self._on = False

    async def of(self, work: Awaitable[object]) -> float:
        """Seconds of the longest wait while the work is done."""
        beats = asyncio.create_task(self._beat())
        await asyncio.sleep(0.02)
        self._on = True
        self.begin_anew()
        seer = threading.Thread(target=self._see, args=(threading.get_ident(),), daemon=True)
        seer.start()
        try:
            await work
            await asyncio.sleep(2 * BEAT)
        finally:
            self._on = False
            beats.cancel()
            seer.join()
        return self.longest

    def begin_anew(self) -> None:
        """Forget what has been until now."""
        self.longest, self._last, self.where = 0.0, time.perf_counter(), ""

    def end(self) -> None:
        """What comes from here on does not count."""
        self.longest, self._on = max(self.longest, time.perf_counter() - self._last), False

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            now = time.perf_counter()
            if self._on:
                self.longest = max(self.longest, now - self._last)
            self._last = now

    def _see(self, thread: int) -> None:
        while self._on:
            time.sleep(0.005)
            waited = time.perf_counter() - self._last
            if waited > max(SEEN, self.longest):
                frames = sys._current_frames()
                loop = frames.pop(thread)
                del frames[threading.get_ident()]
                others = (" < ".join(_places(frame)) for frame in frames.values())
                beside = "; beside ".join(one for one in others if one)
                self.where = f"{' < '.join(_places(loop))}; beside {beside}"


def _places(frame: FrameType | None) -> Iterator[str]:
    """The functions of ours that a thread is in, innermost first."""
    found = 0
    while frame and found < 3:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts:
            found += 1
            yield f"{path.stem}.{frame.f_code.co_name}"
        frame = frame.f_back
