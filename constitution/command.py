"""How every command ends: what went wrong in words, and an exit code."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable

from constitution.errors import Fault, Unavailable, UserError, without_credentials
from constitution.terminal import complain, guarded

DONE, INCOMPLETE, REFUSED, BUG = range(4)
"""Exit codes: done; incomplete, or a gate failed; bad arguments, files or settings; an error that nobody foresaw."""


def run_command(program: Callable[[], int], interrupted: str = "run the same command again") -> int:
    """The exit code of a command, all of whose output is clean. What nobody foresaw is told with the file that has its traceback.

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
        except MemoryError:
            complain(
                "out of memory; free some, or ask for less at once, and run the same command again: what was stored is kept"
            )
            return INCOMPLETE
        except Fault as error:
            complain(error)
            return BUG
        except SystemExit:  # of argparse, which has said what is wrong
            raise
        except BaseException as error:  # libraries written in Rust raise what is no Exception
            complain(fault(error))
            return BUG


def fault(error: BaseException) -> str:
    """What to say of an error that nobody foresaw: the error, and the log that has its traceback."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    trace = "".join(traceback.format_exception(error))
    last = without_credentials("".join(traceback.format_exception_only(error)).strip())
    return f"{last}\n{fault_log(trace)}"


def fault_log(trace: str) -> str:
    """Write a traceback to a log that only this user can read; returns what to do with it.

    Where no file can be written, the traceback itself is in what is returned.
    """
    command = " ".join(sys.argv)
    text = without_credentials(f"{command}\nPython {platform.python_version()}, {platform.platform()}\n\n{trace}")
    try:
        handle, name = tempfile.mkstemp(prefix="solon-fault-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return f"{text}\nThis is a fault of Solon: please report it with the lines above."
    return f"This is a fault of Solon: please report it with {name}, which has the traceback."
