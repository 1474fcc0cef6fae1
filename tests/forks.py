"""Processes for tests, without the seconds that imports take: each is forked from one server that has imported what is large.

`start` is for those that are to be killed or waited for, `python()` a program that stands for the interpreter where many commands are run;
the processes that pytest shares a run among are forked there too. What a fork cannot show stays a new interpreter in the tests: what is
imported and how long that takes, `--help`, where modules are found, a loop's signals to its steps, how processes that `accelerate launch`
starts end, the set-up, the installed wheel, and vLLM's own processes.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_PLACE = "SOLON_TESTS_FORKS"
"""Variable of the environment: the folder in which the server of this run listens."""
_PYTHON = """#!{python} -IS
import json, os, socket, sys
words = [word for word in sys.argv[1:] if word not in ("-u", "-B")] if sys.argv[1:2] == ["-u"] else sys.argv[1:]
if words[:1] not in (["-m"], ["-c"]):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    about = {{"words": words, "folder": os.getcwd(), "environment": dict(os.environ), "python": {named!r}}}
    request = json.dumps(about).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    said = server.makefile().readlines()
ended = int(said[1]) if len(said) == 2 else -9
if ended < 0:
    os.kill(os.getpid(), -ended)
sys.exit(ended)
"""
"""Hands its words, folder, environment and streams to the server, and ends as the process does that is forked there."""


class Process:
    """A process that the server forked. It is killed when this object is gone."""

    def __init__(self, pid: int, server: socket.socket) -> None:
        self.pid = pid
        self.exitcode: int | None = None
        """-n where signal n ended it; None while it runs."""
        self._server = server

    def is_alive(self) -> bool:
        self.join(0)
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most so many seconds."""
        if self.exitcode is None and select.select([self._server], [], [], timeout)[0]:
            self.exitcode = int(self._server.recv(16) or b"-9")
            self._server.close()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def start(function: Callable[..., int], *arguments: object, log: Path) -> Process:
    """A new process that ends with the function's result as its exit code; all it says is in the log.

    function and arguments: what can be pickled. The environment is this process's as it is now.
    """
    words = ["call", pickle.dumps((function, arguments)).hex()]
    about = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ), "python": sys.executable}
    request = json.dumps(about).encode()
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{_place()}/s")
    with log.open("ab") as out, open(os.devnull, "rb") as nothing:
        streams = [nothing.fileno(), out.fileno(), out.fileno()]
        socket.send_fds(server, [len(request).to_bytes(8, "big")], streams)
        server.sendall(request)
    pid = b""
    while not pid.endswith(b"\n"):
        pid += server.recv(1)
    return Process(int(pid), server)


def python() -> Path:
    """A program that stands for this interpreter where it is called with `-m MODULE` or `-c CODE`, also in what it runs.

    The interpreter itself but on Linux: elsewhere what has loaded the system's own libraries may not always be forked.
    """
    return _place() / "python" if sys.platform == "linux" else Path(sys.executable)


def worker() -> Path:
    """The same for a process of pytest's, whose tests start interpreters that are new."""
    return _place() / "worker" if sys.platform == "linux" else Path(sys.executable)


def _place() -> Path:
    """The server's folder; it is started where none is."""
    if _PLACE in os.environ:
        return Path(os.environ[_PLACE])
    folder = tempfile.TemporaryDirectory(prefix="py-")
    place = Path(folder.name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        listener.listen(64)
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            cwd=Path(__file__).parents[1],
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    for program, named in ((place / "python", str(place / "python")), (place / "worker", sys.executable)):
        program.write_text(_PYTHON.format(python=sys.executable, address=f"{place}/s", named=named))
        program.chmod(0o755)
    atexit.register(_end, server, folder)
    os.environ[_PLACE] = str(place)
    return place


def _end(server: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    folder.cleanup()


def wait_until(there: Callable[[], object], process: Process, seconds: float = 60) -> None:
    """Until something is there. Fails when the process ends before that, or the time is over."""
    deadline = time.monotonic() + seconds
    while not there():
        assert process.is_alive(), f"ended with exit code {process.exitcode}"
        assert time.monotonic() < deadline, f"not there after {seconds} s"
        time.sleep(0.005)


def wait(process: Process, seconds: float = 240) -> None:
    """Until it ends. Fails when the time is over, and ends it."""
    process.join(seconds)
    if process.is_alive():
        kill(process)
        raise AssertionError(f"did not end in {seconds} s")


def kill(process: Process) -> None:
    """End it and all that it started, by SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for member in (*parent.children(recursive=True), parent):
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.join()
