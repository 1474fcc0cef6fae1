"""The reference's log-probabilities: kept by everything that decides them, never half, never broken; no cache is no end."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from constitution.errors import UserError
from generation.engines.checkpoint import ModelFiles
from training.data.batches import Example
from training.model.loading import load_policy
from training.recipes import reference
from training.recipes.config import DPO

PAIRS = [Example((1, 8, 9), ((10, 11, 2), (12, 2))), Example((1, 9), ((13, 2), (10, 14, 15, 2), (12, 2)))]
SCORES = {PAIRS[0]: (-1.5, -2.5), PAIRS[1]: (-3.0, -4.0, -5.0)}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.name != "references")


def test_scores_come_back_and_nothing_else_is_left(cache: Path) -> None:
    assert reference.cached("one", PAIRS) is None
    torch.manual_seed(0)  # two runs of one seed write at once, each for itself
    assert reference.keep("one", PAIRS, SCORES) == reference.keep("one", PAIRS, SCORES) == ""
    assert reference.cached("one", PAIRS) == SCORES
    assert reference.cached("one", PAIRS[:1]) is None  # of other rows
    assert kept(cache) == ["one.safetensors"]


def test_two_runs_of_one_seed_do_not_write_into_one_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins while the first is writing."""
    places: list[str] = []
    save = reference.save_file

    def slow(table: Any, path: Any) -> None:
        places.append(str(path))
        if len(places) == 1:
            assert reference.keep("one", PAIRS, SCORES) == ""
        save(table, path)

    monkeypatch.setattr(reference, "save_file", slow)
    assert reference.keep("one", PAIRS, SCORES) == ""
    assert len({*places}) == 2
    assert reference.cached("one", PAIRS) == SCORES
    assert kept(cache) == ["one.safetensors"]


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_scores_that_are_not_finite_are_not_used(value: float) -> None:
    reference.keep("one", PAIRS, {**SCORES, PAIRS[1]: (-3.0, -4.0, value)})
    assert reference.cached("one", PAIRS) is None


def test_a_model_that_gives_no_numbers_is_told(tiny_files: ModelFiles) -> None:
    policy = load_policy(tiny_files, DPO())
    with torch.no_grad():
        policy.inner.model.norm.weight.fill_(math.nan)
    with pytest.raises(UserError, match=r"not finite for 5 of 5 responses; set precision: fp32, or check the model"):
        reference.compute(policy, policy, PAIRS, 2, Accelerator(cpu=True), False)


def test_a_cache_that_cannot_be_written_is_told_and_no_end(cache: Path) -> None:
    cache.write_text("a file, where a folder should be")
    said = reference.keep("one", PAIRS, SCORES)
    assert said.startswith("warning: the reference's log-probabilities cannot be kept (")
    assert said.endswith("; a restart computes them again. Free some disk, or set SOLON_CACHE to another folder")


def test_a_full_disk_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: Any, path: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(reference, "save_file", full)
    assert "No space left on device" in reference.keep("one", PAIRS, SCORES)
    assert kept(cache) == []


def test_the_digest_is_of_all_that_decides_the_numbers() -> None:
    given: dict[str, Any] = {"model": "m", "examples": PAIRS, "precision": "bf16", "layout": "packed", "device": "cuda"}
    others = {"model": "n", "examples": PAIRS[:1], "precision": "fp32", "layout": "padded", "device": "cpu"}
    digests = {
        reference.digest(**given),
        *(reference.digest(**{**given, name: value}) for name, value in others.items()),
    }
    assert len(digests) == 1 + len(others)
    assert reference.digest(**given) == reference.digest(**given)
