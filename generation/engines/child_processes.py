"""Processes that a library starts: what they say is kept for error messages, and they end, with their files, when this one does."""

from __future__ import annotations

import functools
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from pathlib import Path
from threading import Event, Thread

from generation.scratch import Scratch, place

_LOOK_SECONDS = 0.2
_LONGEST_FOLDER = 107 - len("/00000000-0000-0000-0000-000000000000")
"""Bytes of the path of a folder of sockets: a Unix socket's path has 107, and vLLM names each by a UUID."""

_ERROR = re.compile(r"\b([A-Z]\w*(?:Error|Exception)): (\S.*)$", re.MULTILINE)


class ChildLog:
    """A file without a name that takes the stderr of this process for a while, and of children started meanwhile for good."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the children; append, since all share it

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Send file descriptor 2 here, which libraries' C++ parts write to as well."""
        sys.stderr.flush()
        shown = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)

    def cause(self) -> str:
        """The first error named in the log, which later ones only pass on; empty where there is none."""
        text = os.pread(self._file.fileno(), 1 << 24, 0).decode(errors="replace")
        found = _ERROR.search(text)
        return f"{found[1]}: {found[2].strip()}" if found else ""


@functools.cache
def gather_sockets() -> Scratch | None:
    """Have vLLM's processes meet in a folder that goes with this process: vLLM leaves seven sockets of an engine behind.

    None where `TMPDIR` is too long for one more folder, or the environment says where they meet.
    """
    parent, token = Path(tempfile.gettempdir()), secrets.token_hex(4)
    too_long = len(os.fsencode(place(parent, "solon-vllm", token))) > _LONGEST_FOLDER
    if too_long or "VLLM_RPC_BASE_PATH" in os.environ:
        return None
    scratch = Scratch(parent, "solon-vllm", token)
    os.environ["VLLM_RPC_BASE_PATH"] = str(scratch.path)
    return scratch


class Watchdog:
    """Kills processes when this one is gone, however it went: a pipe's other end closes with it, even on SIGKILL."""

    def __init__(self) -> None:
        script = 'while read -r line; do pids="$line"; done; kill -9 $pids'
        quiet = subprocess.DEVNULL
        # A session of its own, so that Ctrl-C in the terminal does not end the watchdog first.
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Watch the processes that multiprocessing starts meanwhile, with the processes that those start."""
        old = {process.pid for process in active_children()}
        over = Event()

        def look() -> None:
            last = False
            while not last:
                last = over.wait(_LOOK_SECONDS)
                self._watch({process.pid for process in active_children()} - old)

        thread = Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, pids: set[int | None]) -> None:
        import psutil  # which looks at this process for a while, and only vLLM's are watched

        family = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                family += [process, *process.children(recursive=True)]
        assert self._shell.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed the shell; nobody watches then
            self._shell.stdin.write(b" ".join(b"%d" % process.pid for process in family) + b"\n")
            self._shell.stdin.flush()

    def close(self) -> None:
        """Stop watching."""
        self._shell.kill()
        self._shell.communicate()
