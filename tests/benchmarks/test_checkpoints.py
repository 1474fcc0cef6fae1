"""Broken checkpoints that the benchmark tries: a few of each kind, as it counts them."""

import json
from pathlib import Path

import pytest

from benchmarks.checkpoints import outcome_of_broken
from benchmarks.checkpoints_broken import BROKEN, Broken
from benchmarks.tiny import make_tiny, some_pairs, some_targets

REFUSED = [case for case in BROKEN if not case.trains]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sound model and a folder with rows."""
    data = tmp_path_factory.mktemp("data")
    for name, rows in (("targets", some_targets(12)), ("pairs", some_pairs(12))):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make_tiny(data / "sound"), data


def test_there_are_many_and_all_differ() -> None:
    assert len(BROKEN) >= 80
    assert len({case.name for case in BROKEN}) == len(BROKEN)


@pytest.mark.parametrize("case", REFUSED[::6], ids=lambda case: case.name)
def test_a_broken_checkpoint_is_told(case: Broken, given: tuple[Path, Path], tmp_path: Path) -> None:
    outcome, said = outcome_of_broken(case, *given, tmp_path)
    assert outcome == "told", said
