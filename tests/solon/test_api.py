"""The public names: few, documented by examples that run, light to import, and typed."""

from __future__ import annotations

import ast
import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

import solon

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in solon.__all__ if name != "__version__"]


def test_there_are_few_names() -> None:
    assert len(solon.__all__) < 25
    assert len(set(solon.__all__)) == len(solon.__all__)


@pytest.mark.model
def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of `__all__`, in one folder: what one example makes, a later one opens."""
    monkeypatch.chdir(tmp_path)
    runner, without = doctest.DocTestRunner(), []
    for name in NAMES:
        documented = doctest.DocTestFinder().find(getattr(solon, name), name, module=False, globs={"solon": solon})
        for test in documented:
            runner.run(test)
        if not any(test.examples for test in documented):
            without.append(name)
    assert runner.summarize(verbose=False).failed == 0
    assert without == []


def test_the_types_are_those_of_the_names() -> None:
    """The stub, which type checkers read, names what the table loads, from the same modules."""
    tree = ast.parse((ROOT / "solon" / "__init__.pyi").read_text(encoding="utf-8"))
    named = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert named == {name: f"{module}.{name}" for name, module in solon._MODULES.items()}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'solon' has no attribute 'judgement'"):
        solon.judgement  # noqa: B018


def test_importing_loads_none_of_the_packages() -> None:
    probe = "import sys, solon; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"constitution", "critics", "generation", "evaluation", "training", "pydantic", "torch"})


@pytest.mark.model
def test_judging_needs_no_torch() -> None:
    probe = "import solon, sys; solon.run_sync(solon.judge('hhh', 'Hi.', 'Hello!', 'No.', engine='replay')); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    assert {"torch", "transformers", "vllm", "matplotlib"}.isdisjoint(done.stdout.split())
