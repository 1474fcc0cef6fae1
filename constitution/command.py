"""How every command ends: what went wrong in words, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from constitution.errors import Unavailable, UserError
from constitution.terminal import complain, guarded

DONE, INCOMPLETE, REFUSED, BUG = range(4)
"""Exit codes: done; incomplete, or a gate failed; bad arguments, files or settings; an error that nobody foresaw."""


def run_command(program: Callable[[], int], interrupted: str = "run the same command again") -> int:
    """The exit code of a command, all of whose output is clean.

    interrupted: what to do after Ctrl-C.
    """
    with guarded():
        try:
            return program()
        except UserError as error:
            complain(error)
            return REFUSED
        except Unavailable as error:
            complain(error)
            return INCOMPLETE
        except KeyboardInterrupt:
            complain(f"interrupted; {interrupted}")
            return INCOMPLETE
        except BrokenPipeError:  # of `| head`: there is nobody left to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it at its end
            return INCOMPLETE
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            complain(
                f"{where}{error.strerror or error}; mend that, and run the same command again: what was stored is kept"
            )
            return INCOMPLETE
        except Exception:
            traceback.print_exc()
            complain("This is a fault of Solon: please report it with the lines above.")
            return BUG
