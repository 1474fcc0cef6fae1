"""Processes for tests to kill: each is forked from a server that has imported what takes seconds to import, once for all tests."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(["pytest", "generate_feedback", "training.commands", "accelerate.commands.launch"])


def start(function: Callable[..., int], *arguments: object, log: Path) -> BaseProcess:
    """A new process that ends with the function's result as its exit code; all it says is in the log.

    function and arguments: what can be pickled. The environment is this process's as it is now.
    """
    process = _SERVER.Process(target=_run, args=(function, arguments, dict(os.environ), log))
    process.start()
    return process


def _run(
    function: Callable[..., int], arguments: tuple[object, ...], environment: Mapping[str, str], log: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    sys.exit(function(*arguments))


def wait_until(there: Callable[[], object], process: BaseProcess, seconds: float = 60) -> None:
    """Until something is there. Fails when the process ends before that, or the time is over."""
    deadline = time.monotonic() + seconds
    while not there():
        assert process.is_alive(), f"ended with exit code {process.exitcode}"
        assert time.monotonic() < deadline, f"not there after {seconds} s"
        time.sleep(0.005)
