"""Runs a command that must not outlive the loop: `python -m training.loop.supervise LOCK COMMAND...`, with a pipe as its input.

The pipe's other end is the loop's. It closes when the loop is gone, however it went, SIGKILL included; then, and when the command
itself has ended, all that it started are killed, those too that made themselves a session of their own, as accelerate's workers do,
and on Linux those whose parent is gone. LOCK is a file that is held as long as any of them is there, so that the next start waits
for the end of the last one.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from threading import Lock, Thread

import psutil
from filelock import FileLock

_PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2): processes below this one whose parent ends become its children, not init's."""
_GRACE_SECONDS = 1.0
"""How long what a command leaves may take to end by itself, as trackers of shared memory do, which clean up."""
_starting = Lock()


def main(lock: str, command: list[str]) -> int:
    """Run the command; returns its exit code, 128 + n where signal n ended it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Thread(target=_end_with_the_loop, daemon=True).start()
    with FileLock(lock):
        with _starting:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        code = process.wait()
        psutil.wait_procs(_family(), timeout=_GRACE_SECONDS)
        _end_all()
    return code if code >= 0 else 128 - code


def _end_with_the_loop() -> None:
    while os.read(0, 1):
        pass
    _starting.acquire()  # for good: nothing starts any more
    _end_all()
    os._exit(1)


def _end_all() -> None:
    """Kill whatever is there until nothing is: what a killed process leaves becomes a child of this one."""
    while family := _family():
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=0.1)


def _family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
