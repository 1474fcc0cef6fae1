"""Benchmarks of many commands: each is a stage in a folder of its own, and the same benchmark again goes on where it ended."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from benchmarks import common

TAIL = 30


class Stage(NamedTuple):
    """One command, done once its marker is there."""

    name: str
    done: Path
    command: Sequence[str]


Runner = Callable[[Sequence[str], TextIO], int]
"""Runs a command whose output goes to a file; gives its exit code."""


def subprocess_runner(command: Sequence[str], log: TextIO) -> int:
    """In a process of its own."""
    return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=common.ROOT, check=False).returncode


def train(name: str, recipe: str, model: str, data: Path, settings: dict[str, object], out: Path) -> Stage:
    """A command that trains."""
    command = ours("training", recipe, "--model", model, "--data", str(data), "--out", str(out))
    return Stage(name, out / "training.json", [*command, *common.settings(settings)])


def perform(stage: Stage, out: Path, runner: Runner) -> None:
    """Run a stage that is not done; its output goes to a file, whose end is shown where it fails, and its command beside that."""
    log = out / "log" / f"{stage.name.replace(' ', '-')}.txt"
    kept, command = log.with_suffix(".command"), shlex.join(stage.command[1:])  # the interpreter changes no number
    if stage.done.exists():
        was = kept.read_text(encoding="utf-8") if kept.exists() else "not known"
        if was != command:
            sys.exit(f"{stage.name}: was done by another command; choose another --out\nwas: {was}\nis:  {command}")
        print(f"{stage.name}: done before")
        return
    log.parent.mkdir(exist_ok=True)
    kept.write_text(command, encoding="utf-8")
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        code = runner(stage.command, file)
    if code or not stage.done.exists():
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:])
        sys.exit(f"{stage.name}: exit code {code}\n{' '.join(stage.command)}\n{end}\nall of it: {log}")
    print(f"{stage.name}: {(time.monotonic() - began) / 60:.1f} min", flush=True)


def ours(module: str, *words: str) -> list[str]:
    """The command line of a module of ours."""
    return [sys.executable, "-m", module, *words]


def settings_of(given: Sequence[str]) -> dict[str, object]:
    """KEY=VALUE flags; a value that is not JSON is text."""
    found: dict[str, object] = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
