"""Forks a process for each that asks, from one that has imported the large libraries, and ours: `tests/forks.py` starts and asks it.

What a process runs is the main module of `python -m MODULE`, the code of `python -c CODE`, or a pickled function, in the caller's
folder and environment and on its standard streams. It is a session of its own, and is killed when the one that asked is gone.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pickle
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import Any

_PRELOADED = (
    "pytest", "generate_feedback", "training.commands", "training.loop.command", "accelerate.commands.launch", "solon.calls",
    "solon.export", "evaluation.audit.command", "evaluation.judge.command", "evaluation.policy.command", "evaluation.attack.command",
    "matplotlib.backends.backend_svg", "matplotlib.figure", "matplotlib.font_manager", "PIL.Image", "jsonschema", "hypothesis", "hypothesis.strategies",
    "evaluation.principles.command", "evaluation.verify.command", "evaluation.diff.command",
)  # fmt: skip
"""What takes seconds to import. None of it starts a thread."""


def main(listener: socket.socket) -> None:
    """Fork until standard input ends."""
    for name in _PRELOADED:
        with suppress(ImportError):  # what needs it will say so
            import_module(name)
    import_module("tests.drawn").leave_out()
    life = os.dup(0)
    gc.freeze()  # what is imported stays on pages that all share
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        ready, _, _ = select.select([listener.fileno(), life], [], [])
        if life in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            with suppress(ConnectionError), connection:
                _keep(connection, life)
            os._exit(0)
        connection.close()


def _keep(connection: socket.socket, life: int) -> None:
    """Start what is asked for, and say its process id and how it ended, a line each."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(1 << 20)
    ended, ends = os.pipe()  # the other end is the process's alone
    if (process := os.fork()) == 0:
        for unused in (ended, connection.detach(), life):
            os.close(unused)
        os.setsid()
        _become(streams, **json.loads(request))
    connection.sendall(f"{process}\n".encode())
    for unused in (ends, *streams):
        os.close(unused)
    ready, _, _ = select.select([ended, connection.fileno(), life], [], [])
    if ended not in ready:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    connection.sendall(f"{code}\n".encode())


def _become(streams: list[int], words: list[str], folder: str, environment: dict[str, str], python: str) -> None:
    """What the interpreter does from its start to its end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = python
    found = [] if environment.get("PYTHONSAFEPATH") else [folder if words[0] == "-m" else ""]
    found += filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [*found, *(path for path in sys.path if path not in found)]
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    code = _run(*words)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def _stream(number: int) -> TextIOWrapper:
    """Standard input, output or error over its descriptor, as an interpreter opens them."""
    kept = os.fdopen(number, "rb" if number == 0 else "wb", closefd=False)
    errors = "backslashreplace" if number == 2 else "strict"
    return TextIOWrapper(kept, encoding="utf-8", errors=errors, line_buffering=number == 2)


def _run(kind: str, what: str, *arguments: str) -> int:
    """Run a module, code or a function; returns the exit code."""
    how: dict[str, Callable[..., object]] = {"-m": _module, "-c": _code, "call": _call}
    try:
        return _exit_code(how[kind](what, *arguments))
    except SystemExit as end:
        return _exit_code(end.code)
    except BaseException:
        traceback.print_exc()
        return 1


def _exit_code(said: object) -> int:
    if said is None or isinstance(said, int):
        return said or 0
    print(said, file=sys.stderr)
    return 1


def _module(name: str, *arguments: str) -> None:
    for again in (name, f"{name}.__main__"):  # what is run is executed anew
        if not hasattr(sys.modules.get(again), "__path__"):
            sys.modules.pop(again, None)
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _code(code: str, *arguments: str) -> None:
    main: Any = ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<string>", "exec"), main.__dict__)


def _call(pickled: str) -> object:
    function, arguments = pickle.loads(bytes.fromhex(pickled))
    return function(*arguments)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
