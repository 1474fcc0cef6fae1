"""What the README and CONTRIBUTING name, against what is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from training import __main__ as training_main

ROOT = Path(__file__).resolve().parents[2]


def test_the_readmes_make_targets_exist() -> None:
    readme, makefile = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile"))
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", readme, re.MULTILINE)) - targets == set()


def test_contributing_names_only_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = set(
        re.findall(r"`((?:constitution|critics|generation|evaluation|training|principles|tests)/[\w./]+)`", text)
    )
    assert len(paths) > 10
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_readmes_training_commands_are_understood() -> None:
    """Each line that trains parses, and its settings are allowed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\.venv/bin/python -m training (.+?)(?:\s+#.*)?$", text, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {"sft", "reward", "best_of", "dpo", "ppo", "loop"}
    for line in lines:
        options = training_main.parser().parse_args(shlex.split(line))
        if line.startswith("loop "):
            assert (ROOT / options.config).is_file()
            continue
        assert training_main.settings_of(options).data == {"runs/mine": 1.0}


def test_the_demos_command_runs(tmp_path: Path) -> None:
    """The command of `make demo`, on the replay engine and a few prompts."""
    dry = subprocess.run(["make", "-n", "demo"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    line = next(line for line in dry.replace("\\\n", " ").splitlines() if "generate_feedback.py" in line)
    arguments = line.split("generate_feedback.py", 1)[1].split()
    arguments[arguments.index("--out") + 1] = str(tmp_path / "demo")
    command = [sys.executable, "generate_feedback.py", *arguments, "--engine", "replay", "--limit", "4"]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "What came out" in out
    assert (tmp_path / "demo" / "manifest.json").is_file()
