"""A run that the studio started: an ordinary `solon feedback` of its own process, which can be watched, stopped and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from constitution.errors import Problem, UserError
from constitution.options import arguments
from constitution.terminal import printable
from generation.calls.reading import StoredCalls
from generation.output.manifest import read as read_manifest
from generation.pipeline.session import CALLS
from generation.request import FeedbackSettings

TAIL = 4096
"""Bytes at the end of what it prints that are shown."""


class Standing(NamedTuple):
    """How far it is."""

    running: bool
    finished: bool
    made: int
    """Calls made so far, in all starts."""
    planned: int
    most: int
    out: Path
    says: str
    """Its last line."""


@dataclass(slots=True)
class Asking:
    """One run under way, or the last one."""

    settings: FeedbackSettings
    out: Path
    """The run's folder."""
    planned: int
    """Calls that are certain to be made."""
    most: int
    process: subprocess.Popen[bytes]
    printed: IO[bytes]

    @classmethod
    def start(cls, settings: FeedbackSettings, planned: int, most: int) -> Asking:
        """Start it, or resume it."""
        command = [sys.executable, "-m", "solon", "feedback", *arguments(settings)]
        handle, name = tempfile.mkstemp(prefix="solon-studio-")
        printed = os.fdopen(os.open(name, os.O_RDONLY), "rb")
        Path(name).unlink()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=handle, stderr=subprocess.STDOUT)
        os.close(handle)
        return cls(settings, Path(settings.out), planned, most, process, printed)

    def standing(self) -> Standing:
        """As it is now."""
        running = self.process.poll() is None
        # 1: it is finished, and little came of it
        finished = not running and self.process.returncode in (0, 1) and read_manifest(self.out) is not None
        return Standing(running, finished, self._made(), self.planned, self.most, self.out, self._says())

    def stop(self) -> None:
        """As Ctrl-C does: what was made is stored, and the same command resumes."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def _made(self) -> int:
        path = self.out / CALLS
        if not path.is_file():
            return 0
        try:
            with closing(StoredCalls([path])) as calls:
                return calls.totals(path).made
        except UserError:  # it is being made
            return 0

    def _says(self) -> str:
        self.printed.seek(max(0, self.printed.seek(0, 2) - TAIL))
        lines = self.printed.read().decode("utf-8", "replace").strip().splitlines()
        return printable(lines[-1]) if lines else ""


def refuse_second(*others: Asking | None) -> None:
    """Raises UserError while one is under way."""
    for one in others:
        if one and one.process.poll() is None:
            raise UserError(Problem("", got=f"{one.out} is being made", fix="stop it, or wait for it"))
