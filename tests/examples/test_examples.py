"""The examples run as they are, on the replay engine; the notebook's cells in a running loop, as a kernel runs them."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.training.ppo_small import small_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "quickstart.ipynb"


def example(name: str) -> ModuleType:
    spec = spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_a_page_with_its_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    assert f"python examples/{path.name}" in (ast.get_docstring(ast.parse(text)) or "")


def test_the_notebook_holds_no_output() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell["outputs"] for cell in cells if cell.get("outputs")] == []


def test_judging_a_pair(capsys: pytest.CaptureFixture[str]) -> None:
    assert example("judge_a_pair").main([]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("better: ")
    assert "no-harmful-advice" in shown


def test_a_dataset_from_own_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path / "support")]
    assert example("own_prompts").main(arguments) == 0
    first = capsys.readouterr().out
    assert "Hello, my parcel is late. Can you help me?" in first
    assert example("own_prompts").main(arguments) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "support" / "report.html").is_file()


@pytest.mark.model
def test_the_loop_goes_round(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With a tiny model that really trains, and made-up texts and verdicts."""
    model = small_model(tmp_path / "small")
    arguments = ["--out", str(tmp_path / "loop"), "--model", str(model), "--engine", "replay", "--prompts", "6"]
    training = ["--set", "steps=2", "--set", "max_length=256"]
    assert example("loop").main([*arguments, *training]) == 0
    shown = capfd.readouterr().out
    assert "round 1: " in shown
    assert (tmp_path / "loop" / "round-1" / "checkpoint" / "config.json").is_file()


async def execute(cells: list[str]) -> dict[str, object]:
    """Code cells in one namespace, inside a running loop, `await` allowed at their top."""
    names: dict[str, object] = {}
    for source in cells:
        code = compile(source, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    return names


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names = asyncio.run(execute(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]))
    assert (tmp_path / "runs" / "quickstart" / "manifest.json").is_file()
    assert "run" in names
    assert "How do I boil an egg?" in capsys.readouterr().out
