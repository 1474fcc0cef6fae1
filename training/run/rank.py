"""Which of the processes that train together this one is; known before any library loads."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from collections.abc import Callable

from constitution.command import BUG, INCOMPLETE
from constitution.terminal import complain


def first() -> bool:
    """True for the process that prints and writes for all."""
    return _rank() == 0


def tell(error: object) -> None:
    """Print what is wrong on stderr, each line with `[rank N]` in every process but the first."""
    mark = "" if first() else f"[rank {_rank()}] "
    complain("\n".join(f"{mark}{line}" for line in str(error).split("\n")))


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def run(program: Callable[[], int]) -> int:
    """The program's exit code. A process of several under a launcher ends here with it, however the program ended.

    Such a process must not go through the interpreter's own end. Sharded weights leave the process group's threads running after
    it was destroyed: caches of DTensor hold the mesh, and the mesh holds the group. A thread that is stopped while the interpreter
    is taken apart may abort the process, after everything was written.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return program()
    try:
        code = program()
    except SystemExit as end:  # of argparse, which has said what is wrong
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = INCOMPLETE
    except BaseException:
        traceback.print_exc()
        code = BUG
    try:
        atexit._run_exitfuncs()  # loggers such as wandb finish there
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
