"""Runs one step of a loop as a process of its own, whose memory and crashes are its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

LOCK = ".step"
"""Held while a step's process, or one that it started, is there."""
TAIL = 12
"""Lines of a step's output that are shown when it failed."""
_ROOT = Path(__file__).resolve().parents[2]
"""Where our packages are, installed or not."""

Runner = Callable[[Sequence[str], Path], int]
"""Runs a command, its output appended to a file; returns the exit code."""


def runner(folder: Path) -> Runner:
    """Runs commands that end with this process, however it ends, one at a time in a loop's folder."""

    def run(command: Sequence[str], log: Path) -> int:
        log.parent.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        supervised = [sys.executable, "-m", "training.loop.supervise", str(folder / LOCK), *command]
        with log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches the loop alone, which then ends the step by closing its pipe.
            process = subprocess.Popen(
                supervised,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # without the current folder on the path, where the user may have modules of our packages' names
                env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            )
        assert process.stdin is not None
        try:
            return process.wait()
        finally:
            process.stdin.close()
            process.wait()

    return run


def tail(log: Path, lines: int = TAIL) -> str:
    """The last lines that a step said."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
