"""Nothing that a terminal obeys reaches it, whoever prints it."""

import io
import json
import logging
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import rich.console
from rich.live import Live
from rich.table import Table

from constitution.command import run_command
from constitution.errors import Fault, Problem, Unavailable, UserError
from constitution.terminal import CleanStream, guarded, quietly
from generation.console import Console
from solon.__main__ import main as solon

ROOT = Path(__file__).parents[2]
HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\x00e\x07f\rg\x08h\x85i\u2028j\udc80k"
SEEN = "a�[2Jb�31mc�d�e�f g�h i j�k"


class Panic(BaseException):
    """As libraries written in Rust raise."""


def logged(text: str) -> None:
    logger = logging.Logger("somebody")
    logger.addHandler(logging.StreamHandler())
    logger.warning(text)


def raised(text: str) -> None:
    raise ZeroDivisionError(text)


WAYS: dict[str, Callable[[str], object]] = {
    "print": print,
    "write": lambda text: sys.stdout.write(text + "\n"),
    "lines": lambda text: sys.stderr.writelines([text, "\n"]),
    "a-librarys-console": lambda text: rich.console.Console(force_terminal=None).print(text, markup=False),
    "our-console": lambda text: Console().print(text, markup=False),
    "our-console-on-a-terminal": lambda text: Console(force_terminal=True, no_color=True).print(
        text, markup=False, highlight=False
    ),
    "logging": logged,
    "a-traceback": raised,
    "an-error": lambda text: (_ for _ in ()).throw(UserError(Problem(text, "key", text))),
}


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_seen_goes_out(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def program() -> int:
        WAYS[way](HOSTILE)
        return 0

    run_command(program)
    said = "".join(capsys.readouterr())
    words = SEEN if "console" not in way else SEEN.split("e")[0]  # rich drops some controls and wraps lines itself
    assert words in said
    assert all(letter.isprintable() or letter == "\n" for letter in said)


def test_styles_and_tables_that_redraw_themselves_are_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with guarded():
        console = Console(force_terminal=True, width=60, color_system="standard")
        console.print("[bold]name[/bold] " + HOSTILE.replace("[", "\\["))
        table = Table(title=HOSTILE.replace("[", "\\["))
        with Live(table, console=console, auto_refresh=False):
            pass
    said = capsys.readouterr().out
    assert "\x1b[1mname\x1b[0m a�" in said
    assert "\x1b[2J" not in said
    assert "\u202e" not in said
    assert "\x9b" not in said


def test_a_stream_without_some_letters_gets_others() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    stream = CleanStream(raw)
    assert stream.write("ß\r\n") == 3
    assert not stream.isatty()
    raw.flush()
    assert raw.buffer.getvalue() == b"?\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        pytest.param(UserError(Problem("f.yaml", "k", "got 1")), 2, "f.yaml: k: got 1", id="user"),
        pytest.param(Unavailable("later"), 1, "later", id="unavailable"),
        pytest.param(KeyboardInterrupt(), 1, "interrupted; run it again", id="ctrl-c"),
        pytest.param(
            OSError(28, "No space left on device", "x"), 1, "x: No space left on device; mend that", id="disk"
        ),
        pytest.param(MemoryError(), 1, "out of memory; free some", id="memory"),
        pytest.param(Fault("a step\nlog"), 3, "a step\nlog", id="a-bug-of-another-process"),
        pytest.param(ZeroDivisionError("oh"), 3, "ZeroDivisionError: oh\nThis is a fault of Solon", id="a-bug"),
        pytest.param(ExceptionGroup("2", [KeyError("k")]), 3, "KeyError: 'k'\nThis is a fault", id="a-bug-in-a-task"),
        pytest.param(Panic("oh"), 3, "Panic: oh\nThis is a fault of Solon", id="a-bug-in-rust"),
    ],
)
def test_how_a_command_ends(
    error: BaseException, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def program() -> int:
        raise error

    assert run_command(program, "run it again") == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    logs = [str(path) for path in tmp_path.iterdir()]
    assert bool(logs) == (code == 3 and not isinstance(error, Fault))
    assert all(f"please report it with {log}" in told for log in logs)
    assert run_command(lambda: 0) == 0


def test_the_log_of_a_bug_has_its_traceback_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["solon", "--set", "endpoint.api_key=sk-hidden"])

    def program() -> int:
        raise LookupError("password: hunter2")

    assert run_command(program) == 3
    (log,) = tmp_path.iterdir()
    assert log.stat().st_mode & 0o077 == 0
    text = log.read_text(encoding="utf-8")
    assert "in program" in text
    assert "raise LookupError" in text
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert run_command(program) == 3  # no file can be written
    told = capsys.readouterr().err
    assert "with the lines above" in told
    assert "raise LookupError" in told
    assert all(secret not in text + told for secret in ("hunter2", "sk-hidden"))


def test_an_error_is_one_line_a_problem_whatever_is_in_its_names() -> None:
    error = UserError([Problem("a\nb", "k\x1b", "got 1", fix="do\r\nit"), Problem("c")])
    assert str(error) == "a b: k�: got 1; do  it\nc"


COMMANDS = {
    "feedback": ["--constitution", "NAME", "--prompts", "NAME", "--out", "out/NAME"],
    "feedback-option": ["--NAME"],
    "feedback-set": [
        "--constitution",
        "hhh",
        "--prompts",
        "NAME",
        "--out",
        "o",
        "--set",
        "NAME=NAME",
        "--engine",
        "NAME",
    ],
    "constitution": ["lint", "NAME"],
    "evaluate": ["audit", "NAME"],
    "evaluate-judge": ["judge", "--data", "NAME", "--constitution", "NAME"],
    "train": ["dpo", "--data", "NAME", "--out", "NAME", "--model", "NAME"],
    "train-loop": ["loop", "--config", "NAME", "--out", "NAME"],
    "calls": ["show", "NAME", "NAME"],
    "schema": ["NAME/NAME"],
    "NAME": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_echoes_what_a_terminal_obeys(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[2J\u202eb\x9bc\nd"
    (tmp_path / name).write_text(json.dumps({name: name}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        code = solon([word.replace("NAME", name) for word in (command.split("-")[0], *COMMANDS[command])])
    except SystemExit as end:
        code = int(end.code or 0)
    said = "".join(capsys.readouterr())
    assert code in (0, 2), said
    assert all(letter.isprintable() or letter == "\n" for letter in said), said
    assert "a" in said


@pytest.mark.model
def test_nor_does_a_process_of_its_own() -> None:
    words = [sys.executable, "-m", "constitution", "show", "none\x1b[2J"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith("none�[2J:".encode())


def test_whichever_thread_ends_first_what_warns_is_afterwards_as_before() -> None:
    before, entered, leave = [*warnings.filters], threading.Event(), threading.Event()

    def other() -> None:
        entered.set()
        with quietly():
            leave.wait(60)

    with quietly():
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(60)
        time.sleep(0.05)
    leave.set()
    thread.join()
    assert [*warnings.filters] == before
