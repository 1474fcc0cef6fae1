"""How a process that trains with others ends."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import atexit, builtins, os, sys
from training.run import rank

class Thread:
    def __del__(self):
        os.abort()  # as a library's thread does that is stopped while the interpreter ends

def program():
    builtins.thread = Thread()
    atexit.register(print, "logger finished")
    print("written", end="")
    print("told", file=sys.stderr, end="")
    {end}

sys.exit(rank.run(program))
"""


def ended(end: str, processes: int) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)],
        env=os.environ | {"PYTHONPATH": ".", "WORLD_SIZE": str(processes), "RANK": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        pytest.param("return 0", 0, "told", id="done"),
        pytest.param("return 2", 2, "told", id="wrong-settings"),
        pytest.param("sys.exit(2)", 2, "told", id="wrong-arguments"),
        pytest.param("sys.exit()", 0, "told", id="help"),
        pytest.param("raise KeyboardInterrupt", 1, "KeyboardInterrupt", id="ctrl-c"),
        pytest.param("raise ZeroDivisionError", 3, "ZeroDivisionError", id="a-bug"),
    ],
)
def test_what_a_library_does_at_the_interpreters_end_changes_no_exit_code(end: str, code: int, said: str) -> None:
    got, out, err = ended(end, processes=2)
    assert (got, out) == (code, "writtenlogger finished\n")
    assert said in err


def test_a_process_of_its_own_ends_as_any_program_does() -> None:
    """And so the test above would see an abort."""
    code, _, _ = ended("return 0", processes=1)
    assert code == -6
