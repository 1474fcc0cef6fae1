"""Processes for tests to kill: each is forked from a server that has imported what takes seconds to import, once for all tests."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

SERVER = get_context("forkserver")
_PRELOADED = [
    "pytest", "generate_feedback", "training.commands", "accelerate.commands.launch", "training.loop.command",
    "evaluation.audit.command", "evaluation.judge.command", "evaluation.policy.command", "solon.calls", "solon.export",
    "matplotlib.backends.backend_svg", "matplotlib.figure", "matplotlib.font_manager", "PIL.Image",
]  # fmt: skip
SERVER.set_forkserver_preload(_PRELOADED)


def start(function: Callable[..., int], *arguments: object, log: Path) -> BaseProcess:
    """A new process that ends with the function's result as its exit code; all it says is in the log.

    function and arguments: what can be pickled. The environment is this process's as it is now.
    """
    process = SERVER.Process(target=_run, args=(function, arguments, dict(os.environ), log))
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


def wait(process: BaseProcess, seconds: float = 240) -> None:
    """Until it ends. Fails when the time is over, and ends it."""
    process.join(seconds)
    if process.is_alive():
        kill(process)
        raise AssertionError(f"did not end in {seconds} s")


def kill(process: BaseProcess) -> None:
    """End it and all that it started, by SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for member in (*parent.children(recursive=True), parent):
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.join()
