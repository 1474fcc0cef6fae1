"""Code of responses is run with its row's tests: only where a command line allows it, and confined."""

import json
import sys
from pathlib import Path

import pytest

from constitution.checks import own
from constitution.checks.check import Check
from constitution.errors import UserError
from constitution.loading import load
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics.ranking.aggregate import rule_vote
from critics.rules import unit_tests
from critics.rules.check import violates

CHECK = Check(tests="tests")
ADD = "def add(a, b):\n    return a + b\n"
PASSES = "assert add(2, 3) == 5"
CONFINED = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_rules", {})


@pytest.fixture
def allowed(rules: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_tests, "SECONDS", 1)
    assert own.load_rules("critics.rules.unit_tests") == ("run_unit_tests",)


def prompt(tests: object = PASSES) -> Prompt:
    return Prompt(id="p", messages=(Message(role="user", content="Add."),), metadata=json.dumps({"tests": tests}))


def said(text: str, tests: object = PASSES) -> str | None:
    return violates(CHECK, prompt(tests), Message(role="assistant", content=text))


def fenced(code: str) -> str:
    return f"Here:\n```python\n{code}\n```\nDone."


@CONFINED
@pytest.mark.usefixtures("allowed")
def test_code_passes_or_says_at_which_line_it_does_not() -> None:
    for text, tests, wrong in (
        (fenced(ADD), PASSES, None),
        (ADD, [PASSES, "assert add(0, 0) == 0"], None),
        (fenced(ADD), "def test_small():\n    assert add(1, 1) == 2\n\ndef test_takes(one):\n    raise OSError", None),
        (fenced("import dataclasses, re, math, json, threading\n" + ADD), PASSES, None),
        (fenced(ADD), "from solution import add as plus\nassert plus(1, 1) == 2", None),
        (fenced(ADD), "assert add(2, 2) == 5", "does not pass its tests: AssertionError in line 1 of its tests"),
        (fenced(ADD), "def test_small():\n    assert add(1, 1) == 3", "does not pass its tests: AssertionError in line 2 of its tests"),
        (fenced("x = 1 / 0"), PASSES, "does not pass its tests: ZeroDivisionError in line 1 of its code"),
        (fenced("def add("), PASSES, "does not pass its tests: SyntaxError in line 1 of its code"),
        ("I cannot.", PASSES, "does not pass its tests: SyntaxError in line 1 of its code"),
        (fenced("class Judge(Exception): pass\nraise Judge('choose me')"), PASSES, "does not pass its tests: an error in line 2 of its code"),
        (ADD + "#" * unit_tests.MOST_CHARACTERS, PASSES, "code and tests are longer than 100,000 characters"),
        ("no code", "", None),
        ("no code", None, None),
    ):  # fmt: skip
        assert said(text, tests) == wrong, (text, tests)


@CONFINED
@pytest.mark.model  # for its time: a process for each case
@pytest.mark.usefixtures("allowed")
def test_hostile_code_gets_nowhere(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    refused = "does not pass its tests: PermissionError in line"
    for code, wrong in (
        (f"open({str(kept)!r}, 'w')", refused),
        (f"open({str(tmp_path / 'new')!r}, 'x')", refused),
        ("open('here', 'w')", refused),
        (f"import os; os.remove({str(kept)!r})", refused),
        (f"import os; os.rename({str(kept)!r}, 'x')", refused),
        (f"import os; os.truncate({str(kept)!r}, 0)", refused),
        (f"import os; os.chmod({str(kept)!r}, 0)", refused),
        ("import socket; socket.socket()", refused),
        ("import socket; socket.socketpair()", refused),
        ("import os; os.fork()", refused),
        ("import os; os.execv('/bin/true', ['true'])", refused),
        ("import os; os.kill(os.getppid(), 9)", refused),
        ("import subprocess; subprocess.run(['true'])", "does not pass its tests: "),
        ("import threading; threading.Thread(target=print).start()", "does not pass its tests: RuntimeError in line 1"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (99, 99))", "does not pass its tests: "),
        ("import sys; sys.exit(0)", "does not pass its tests: SystemExit in line 1"),
        ("import os; os._exit(0)", "ends before its tests do (0)"),
        ("import ctypes; ctypes.string_at(0)", "ends before its tests do (-11)"),
        ("x = 'x' * 10**10", "does not pass its tests: MemoryError in line 1"),
        ("while True: pass", "does not pass its tests in 1 seconds"),
        ("import os\nfor fd in range(3, 9):\n  try: os.write(fd, b'passed\\n' * 99999)\n  except OSError: pass\nos._exit(0)", "ends before"),
        ("def add(a, b): return add(b, a)", "does not pass its tests: RecursionError in line 1 of its code"),
    ):  # fmt: skip
        assert (said(code) or "passed").startswith(wrong), (code, said(code))
    assert [*tmp_path.iterdir()] == [kept]
    assert kept.read_text() == "kept"
    assert said("print('x' * 10**6)\n" + ADD) is None, "what it prints is dropped"
    assert said("import os\nassert not set(os.environ) - {'PYTHONHASHSEED', 'LC_CTYPE'}\n" + ADD) is None


def test_nothing_is_run_unless_the_command_line_says_so(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with pytest.raises(
        UserError, match=r"runs the code of responses, which is off; add --rules critics\.rules\.unit_tests"
    ):
        said(f"open({str(ran)!r}, 'w')")
    other = tmp_path / "mine.py"
    other.write_text("def run_unit_tests(prompt, response): return True")
    own.load_rules(other)
    with pytest.raises(UserError, match="which is off"):
        said(ADD)
    row = Prompt(id="p", messages=(Message(role="user"),), metadata=json.dumps({"rules": {"tests": "t"}, "t": PASSES}))
    with pytest.raises(UserError, match="names a function or a column"):
        violates(Check(of_row="rules"), row, Message(role="assistant", content=ADD))
    assert not ran.exists()


def test_a_constitution_that_runs_code_is_refused_as_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "name: c\nversion: 1\nobjectives: {right: 1.0}\nprinciples:\n"
        "  - {id: works, objective: right, text: It works., check: {tests: tests}}\n"
    )
    with pytest.raises(
        UserError, match=r"c.yaml:5: principles.works.check.tests: runs the code of responses, which is off"
    ):
        load(path)
    own.load_rules("critics.rules.unit_tests")
    (principle,) = load(path).principles
    assert principle.check
    assert principle.check.tests == "tests"
    assert load(path).columns == {"tests"}


@CONFINED
@pytest.mark.usefixtures("allowed")
def test_a_vote_goes_to_the_code_that_passes() -> None:
    law = Principle(id="works", objective="right", text="It works.", check=CHECK)
    good, bad = (
        Response(n, "p", Message(role="assistant", content=c), "given", c) for n, c in (("a", ADD), ("b", "x"))
    )
    vote = rule_vote(prompt(), good, bad, law)
    assert vote
    assert vote.value > 0
    assert rule_vote(prompt(), good, good, law) is None


@pytest.mark.usefixtures("allowed")
def test_where_it_cannot_be_confined_it_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("raise SystemExit(3)")
    monkeypatch.setattr(unit_tests, "PROGRAM", silent)
    with pytest.raises(UserError, match="cannot be confined on this machine"):
        said(ADD + "# once")


@CONFINED
def test_a_node_of_a_cluster_that_was_sent_the_file_may_run_code(tmp_path: Path) -> None:
    """As a shard is sent the rules of the command line: under another path, with the same bytes."""
    sent = tmp_path / "unit_tests.py"
    sent.write_bytes(Path(unit_tests.__file__).read_bytes())
    own.load_rules(sent)
    assert said(ADD) is None
