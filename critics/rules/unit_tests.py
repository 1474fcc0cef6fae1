"""Whether the code of a response passes the tests of its prompt's row. It is run, in a process that can do nothing but compute.

Off unless a command line names this module (`--rules critics.rules.unit_tests`), as rules of the user's own are: a constitution
alone, or a row, runs nothing. A verdict is only as good as the tests: code that is written to deceive shares a process with them.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import tempfile
from functools import cache, lru_cache
from pathlib import Path

from constitution.checks.own import RUNS_TESTS, TESTS_ARE_OFF, own_rules, rule
from constitution.digest import file_digest
from constitution.errors import Problem, UserError
from constitution.records import Message, Prompt
from critics.rules.code import blocks_of
from critics.rules.row import cell

SECONDS, WALL, MEBIBYTES = 5, 15.0, 512
"""Time of the processor; time of the clock, which a busy machine stretches; memory."""
PROGRAM = Path(__file__).with_name("confined.py")
MOST_CHARACTERS = 100_000
"""Of code and tests together."""


@rule
def run_unit_tests(prompt: Prompt, response: Message) -> str | None:
    """The rule by the row's column `tests`. That it was loaded is what allows `check: {tests: COLUMN}`."""
    return failing(prompt, "tests", response.content)


def failing(prompt: Prompt, column: str, text: str) -> str | None:
    """Why the response's code does not pass the row's tests; None where it does, or where the row has none.

    The code is that of all its blocks of Python, or of those without a name where none has one, or the text itself without a block.
    Tests are statements, such as asserts, and functions without parameters whose names begin with `test`; text, or a list of texts.
    Raises UserError where running was not allowed, and where this machine cannot confine it.
    """
    found = cell(prompt, column)
    tests = "\n".join(map(str, found)) if isinstance(found, list) else str(found or "")
    if not tests.strip():
        return None
    allowed = own_rules().get(RUNS_TESTS)
    if allowed is None or allowed.source != _this_file():
        raise UserError(TESTS_ARE_OFF)
    code = "\n\n".join(blocks_of("python", text)) or text
    if len(code) + len(tests) > MOST_CHARACTERS:
        return f"code and tests are longer than {MOST_CHARACTERS:,} characters"
    return _failing(code, tests) or None


@cache
def _this_file() -> str:
    """By its digest, since other nodes of a cluster have it elsewhere."""
    return file_digest(Path(__file__))


@lru_cache(4096)
def _failing(code: str, tests: str) -> str:
    """Run both; a response is looked at in every pair that it is in, and run once."""
    token = secrets.token_hex(16)
    given = {"token": token, "code": code, "tests": tests, "seconds": SECONDS, "mebibytes": MEBIBYTES}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as verdict:
        try:
            # a session of its own has no terminal; an empty environment has no keys
            done = subprocess.run(
                [sys.executable, "-P", "-s", "-B", str(PROGRAM)],
                input=json.dumps(given).encode(),
                stdout=verdict,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"PYTHONHASHSEED": "0"},
                timeout=WALL,
                start_new_session=True,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            done = -signal.SIGXCPU
        verdict.seek(0)
        said = [line.removeprefix(f"{token} ") for line in verdict.read().decode(errors="replace").splitlines()
                if line.startswith(token)]  # fmt: skip
    if not said:
        got, allowed = "cannot be confined on this machine, and so is not run", "Linux on x86-64, with seccomp"
        raise UserError(Problem("", "tests", got, allowed, "judge it by another rule"))
    if said[-1] == "passed":
        return ""
    if said[-1].startswith("failed "):
        return f"does not pass its tests: {said[-1].removeprefix('failed ')}"
    if done == -signal.SIGXCPU or done == -signal.SIGKILL:
        return f"does not pass its tests in {SECONDS} seconds"
    return f"ends before its tests do ({done})"
