"""A small finished run on the replay engine."""

import shutil
from pathlib import Path

import pytest

import solon

LAWS = """\
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: brief, objective: good, text: Be brief.}
"""
PROMPTS = [{"id": f"p{i}", "prompt": f"Say something about {i}. \x1b[31m"} for i in range(24)]


def make(folder: Path) -> Path:
    """The run in this folder, or the same again."""
    (folder / "laws.yaml").write_text(LAWS)
    making = solon.generate_feedback(
        str(folder / "laws.yaml"),
        PROMPTS,
        folder / "run",
        engine="replay",
        policy="model",
        report=False,
        plan={"samples": 2, "rounds": 0, "controls": 0, "methods": ["compare", "score"]},
    )
    solon.run_sync(making)
    return folder / "run"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that only read."""
    return make(tmp_path_factory.mktemp("review"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may write to."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"
