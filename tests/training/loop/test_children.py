"""A step's processes: what they say is kept, and none outlives the loop, however it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from training.loop.children import LOCK, runner, tail

GRANDCHILD = """
import os, subprocess, sys, time
# what a launcher does: a worker with a session of its own
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {worker.pid}")
time.sleep(60)
"""
LOOP = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in a shell's background ignores it
from pathlib import Path
from training.loop.children import runner
runner(Path(sys.argv[1]))([sys.executable, "-c", sys.argv[2], sys.argv[3]], Path(sys.argv[4]))
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def test_what_a_step_says_is_appended_and_its_code_returned(tmp_path: Path) -> None:
    run, log = runner(tmp_path), tmp_path / "log" / "step.txt"
    assert run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), log) == 3
    assert run(python("print(input())"), log) == 1  # nothing can be asked of a user who is not there
    lines = log.read_text().splitlines()
    assert sorted(lines[:2]) == ["err", "out"]
    assert lines[-1] == "EOFError: EOF when reading a line"
    assert tail(log, 1) == lines[-1]
    assert tail(tmp_path / "gone") == ""


def test_a_step_that_a_signal_ends(tmp_path: Path) -> None:
    """128 and the signal's number, as shells say it: 9 for SIGKILL."""
    assert runner(tmp_path)(python("import os; os.kill(os.getpid(), 9)"), tmp_path / "log.txt") == 137


def test_a_step_finds_our_packages_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log.txt"
    assert runner(tmp_path)([sys.executable, "-m", "generate_feedback", "--help"], log) == 0
    assert "usage: generate_feedback.py" in log.read_text()


LAUNCHER = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]


TRAINING = ["-m", "training", "dpo", "--help"], "python -m training dpo"
ONLY_HERE = [
    ([sys.executable, "-m", "evaluation", "policy", "--help"], "python -m evaluation policy"),
    ([sys.executable, "-m", "generate_feedback", "--help"], "generate_feedback.py"),
]


@pytest.mark.model
@pytest.mark.parametrize(
    ("command", "usage", "path"),
    [
        *(
            pytest.param([sys.executable, *TRAINING[0]], TRAINING[1], path, id=f"path-{path}")
            for path in (None, "", ".")
        ),
        *(pytest.param(command, usage, ".", id=usage) for command, usage in ONLY_HERE),
        *(pytest.param([*LAUNCHER, *TRAINING[0]], TRAINING[1], path, id=f"launcher-{path}") for path in (None, ".")),
    ],
)
def test_a_users_own_modules_are_not_taken_for_ours(
    command: list[str], usage: str, path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the step, nor by what supervises it or launches it: even where PYTHONPATH names the current folder."""
    for name in ("training", "evaluation", "generation", "critics", "constitution", "solon", "generate_feedback"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user was taken for one of ours')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    log = tmp_path / "log.txt"
    code = runner(tmp_path)(command, log)
    assert (code, f"usage: {usage}" in log.read_text()) == (0, True), log.read_text()


def within(seconds: float, done: object) -> bool:
    """Whether something becomes true in that time."""
    assert callable(done)
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(done())


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_all_that_a_step_started_ends_with_the_loop(how: signal.Signals, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    arguments = [str(tmp_path), GRANDCHILD, str(pids), str(tmp_path / "log.txt")]
    loop = subprocess.Popen(python(LOOP, *arguments), stderr=subprocess.DEVNULL)
    assert within(20, lambda: pids.exists() and " " in pids.read_text())
    step, worker = map(int, pids.read_text().split())
    assert alive(step)
    assert alive(worker)
    loop.send_signal(how)
    loop.wait(timeout=20)  # the processes would end by themselves after 60 seconds
    assert within(10, lambda: not alive(step) and not alive(worker))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to the supervisor")
@pytest.mark.parametrize("last", ["os.kill(os.getpid(), 9)", "sys.exit(0)"], ids=["killed", "done"])
def test_what_a_step_leaves_behind_ends_with_it(last: str, tmp_path: Path) -> None:
    """Its main process alone is gone, as when memory is short: its worker, of another session, is not."""
    command = python(GRANDCHILD.replace("time.sleep(60)\n", last), str(tmp_path / "pids"))
    assert runner(tmp_path)(command, tmp_path / "log.txt") == (137 if "kill" in last else 0)
    _, worker = map(int, (tmp_path / "pids").read_text().split())
    assert not psutil.pid_exists(worker)


def test_a_step_waits_for_the_end_of_the_last_one(tmp_path: Path) -> None:
    """As when a loop that was killed is started again before its step is gone."""
    held = FileLock(tmp_path / LOCK)
    held.acquire()
    arguments = [str(tmp_path), GRANDCHILD, str(tmp_path / "pids"), str(tmp_path / "log.txt")]
    loop = subprocess.Popen(python(LOOP, *arguments), stderr=subprocess.DEVNULL)
    assert not within(1, (tmp_path / "pids").exists)
    held.release()
    assert within(20, (tmp_path / "pids").exists)
    loop.kill()
    loop.wait()


def test_the_lock_is_held_while_a_step_runs(tmp_path: Path) -> None:
    again = f"""
import filelock
try:
    filelock.FileLock({str(tmp_path / LOCK)!r}, timeout=0).acquire()
except filelock.Timeout:
    raise SystemExit(7)
"""
    assert runner(tmp_path)([sys.executable, "-c", again], tmp_path / "log.txt") == 7
    with FileLock(tmp_path / LOCK, timeout=5):
        pass
