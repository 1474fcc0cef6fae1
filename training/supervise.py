"""Runs a command that must not outlive the loop: `python -m training.supervise LOCK COMMAND...`, with a pipe as its input.

The pipe's other end is the loop's. It closes when the loop is gone, however it went, SIGKILL included; then the command and all
that it started are killed, those too that made themselves a session of their own, as accelerate's workers do. LOCK is a file that
is held as long as any of them is there, so that the next start waits for the end of the last one.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import suppress
from threading import Lock, Thread

import psutil

_GRACE_SECONDS = 60.0
"""How long killed processes may take to be gone."""
_starting = Lock()


def main(lock: str, command: list[str]) -> int:
    """Run the command; returns its exit code, 128 + n where signal n ended it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    Thread(target=_end_with_the_loop, daemon=True).start()
    fcntl.flock(handle, fcntl.LOCK_EX)
    with _starting:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    code = process.wait()
    return code if code >= 0 else 128 - code


def _end_with_the_loop() -> None:
    while os.read(0, 1):
        pass
    _starting.acquire()  # for good: nothing starts any more
    family = psutil.Process().children(recursive=True)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=_GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
