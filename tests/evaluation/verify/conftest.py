"""Datasets that a test makes up, and what is found in them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.verify.checking import find
from evaluation.verify.finding import Finding
from evaluation.verify.scan import Scan, scan
from evaluation.verify.settings import VerifySettings

Rows = Sequence[Mapping[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Scan]:
    """read(rows, test=..., limit=...) -> the scan of a file, or of a folder with a file for each split."""

    def make(rows: Rows, test: Rows | None = None, **settings: Any) -> Scan:
        for name, part in ({"train": rows} | ({"test": test} if test is not None else {})).items():
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
        spec = tmp_path / "train.jsonl" if test is None else tmp_path
        return scan(VerifySettings(dataset=str(spec), **settings))

    return make


@pytest.fixture
def found(read: Callable[..., Scan]) -> Callable[..., dict[str, Finding]]:
    """found(rows, test=...) -> check -> what it found, notes left out."""
    return lambda rows, test=None, **settings: {
        one.check: one for one in find(read(rows, test, **settings)) if one.severity != "note"
    }


@pytest.fixture
def pairs() -> Callable[[int], list[dict[str, Any]]]:
    """pairs(n) -> sound pairs: different prompts and responses, of which the longer is chosen every other time."""

    def make(n: int) -> list[dict[str, Any]]:
        texts = [f"Answer {i} is about {'many ' * (i * 7 % 5)}things and number {i * 31 % 97}." for i in range(2 * n)]
        found = []
        for i in range(n):
            longer, shorter = sorted(texts[2 * i : 2 * i + 2], key=len, reverse=True)
            best, rest = (longer, shorter) if i % 2 else (shorter, longer)
            words = " ".join(f"w{i * 13 % 101}x{j * (i + 1) % 89}" for j in range(12))
            found.append({"prompt": f"Question {i}: {words}?", "chosen": best, "rejected": rest})
        return found

    return make
