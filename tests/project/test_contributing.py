"""What CONTRIBUTING names, against what is there, and what `make demo` runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from generate_feedback import main

ROOT = Path(__file__).resolve().parents[2]


def test_contributing_names_only_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = set(
        re.findall(r"`((?:constitution|critics|generation|evaluation|training|principles|tests)/[\w./]+)`", text)
    )
    assert len(paths) > 10
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_demos_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of `make demo`, on the replay engine and a few prompts; the weights hold for the embedded model alone."""
    dry = subprocess.run(["make", "-n", "demo"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    line = next(line for line in dry.replace("\\\n", " ").splitlines() if "generate_feedback.py" in line)
    arguments = line.split("generate_feedback.py", 1)[1].split()
    arguments[arguments.index("--out") + 1] = str(tmp_path / "demo")
    weights = arguments.index("--weights")
    assert (ROOT / arguments[weights + 1]).is_file()
    del arguments[weights : weights + 2]
    monkeypatch.chdir(ROOT)
    assert main([*arguments, "--engine", "replay", "--limit", "4"]) == 0
    assert "What came out" in capsys.readouterr().out
    assert (tmp_path / "demo" / "manifest.json").is_file()
