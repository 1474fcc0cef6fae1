"""The memory of this process: what it took at most, and what was freed given back to the system."""

from __future__ import annotations

import re
import sys
import time
from ctypes import CDLL
from functools import cache
from pathlib import Path
from typing import Any

import psutil

EVERY = 5.0
"""Seconds between two times: what is given back must be asked for again."""

_last = time.monotonic()


def give_back() -> None:
    """Give freed memory back to the system, if the last time is EVERY seconds ago; called between steps.

    glibc keeps what lies free between blocks that are in use, and batches of ever other sizes leave much of it: a run of the
    embedded model on a CPU that used 4 GB held 15 GB after an hour. Does nothing where there is no glibc.
    """
    global _last
    if time.monotonic() - _last >= EVERY:
        if trim := _trim():
            trim(0)
        _last = time.monotonic()


def peak() -> int:
    """Most bytes this process has held. On Linux those of its own: `ru_maxrss` starts at what the process that started it held."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))[0])
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # which Windows has not

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@cache
def _trim() -> Any:
    try:
        return CDLL("libc.so.6").malloc_trim if sys.platform == "linux" else None
    except (OSError, AttributeError):
        return None
