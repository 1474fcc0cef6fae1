"""`python -m ...` and `python -c ...` without the seconds that imports take, for tests that run many commands.

Each is a process forked from one that has imported the large libraries, and ours; it runs the same main module, in the caller's folder
and environment, on its standard streams, and ends with the same exit code. What a fork cannot show stays a new interpreter elsewhere in
the tests: what is imported and how long that takes, `--help`, where modules are found, signals and SIGKILL, the installed wheel, servers,
and whatever starts threads, vLLM or a GPU.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.forks import SERVER

_CLIENT = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] not in (["-m"], ["-c"]):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    about = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ), "python": sys.argv[0]}}
    request = json.dumps(about).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    ended = int(server.recv(8) or b"-9")
if ended < 0:
    os.kill(os.getpid(), -ended)
sys.exit(ended)
"""
"""Hands its words, folder, environment and streams to the server, and ends as the process does that is forked there."""


@contextmanager
def quick_python() -> Iterator[Path]:
    """A program that stands for this interpreter, to be started with `-m MODULE` or `-c CODE`. What runs ends with the block."""
    with tempfile.TemporaryDirectory(prefix="py-") as place, socket.socket(socket.AF_UNIX) as listener:
        address, program = f"{place}/s", Path(place, "python")
        listener.bind(address)
        listener.listen(64)
        program.write_text(_CLIENT.format(python=sys.executable, address=address))
        program.chmod(0o755)
        here, there = Pipe(duplex=False)
        server = SERVER.Process(target=_serve, args=(listener, here))
        server.start()
        here.close()
        try:
            yield program
        finally:
            there.close()
            server.join()


def _serve(listener: socket.socket, life: Connection) -> None:
    """Fork a process for each that connects, until the other end of `life` is closed."""
    gc.freeze()  # what is imported stays on pages that all share
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        ready, _, _ = select.select([listener.fileno(), life.fileno()], [], [])
        if life.fileno() in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            with suppress(ConnectionError), connection:
                _keep(connection, life)
            os._exit(0)
        connection.close()


def _keep(connection: socket.socket, life: Connection) -> None:
    """Run what is asked for as a process, and say how it ended; it is killed when the one that asked is gone, or `life` ends."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(1 << 20)
    ended, ends = os.pipe()  # the other end is the process's alone
    if (process := os.fork()) == 0:
        for unused in (ended, connection.detach(), life.fileno()):
            os.close(unused)
        os.setsid()
        _become(streams, **json.loads(request))
    os.close(ends)
    for stream in streams:
        os.close(stream)
    ready, _, _ = select.select([ended, connection.fileno(), life.fileno()], [], [])
    if ended not in ready:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    connection.sendall(str(code).encode())


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
    sys.path[:] = [*found, *(path for path in sys.path if path not in found and path != "")]
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    code = _run(*words)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _stream(number: int) -> TextIOWrapper:
    """Standard input, output or error over its descriptor, as an interpreter opens them."""
    kept = os.fdopen(number, "rb" if number == 0 else "wb", closefd=False)
    errors = "backslashreplace" if number == 2 else "strict"
    return TextIOWrapper(kept, encoding="utf-8", errors=errors, line_buffering=number == 2)


def _run(kind: str, what: str, *arguments: str) -> int:
    """Run a module or code as the main one; returns the exit code."""
    try:
        if kind == "-m":
            _run_module(what, arguments)
        else:
            main: Any = ModuleType("__main__")
            sys.modules["__main__"] = main
            sys.argv = ["-c", *arguments]
            exec(compile(what, "<string>", "exec"), main.__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _run_module(name: str, arguments: tuple[str, ...]) -> None:
    for again in (name, f"{name}.__main__"):  # what is run is executed anew
        if not hasattr(sys.modules.get(again), "__path__"):
            sys.modules.pop(again, None)
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
