"""What of a begun round may still change: how it is trained, until that training has begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from constitution.errors import UserError
from tests.training.scripted_loop import REWARDED
from tests.training.small_loop import DPO, small_settings
from training.loop.config import LoopConfig
from training.loop.folder import claim
from training.run.folder import release_claim
from training.run.page import SETTINGS


def claim_loop(folder: Path, phase: dict[str, Any]) -> None:
    """The folder, claimed by a loop of two rounds of that phase."""
    (folder / "loop").mkdir(exist_ok=True)
    claim(folder / "loop", LoopConfig.model_validate(small_settings(folder, {**phase, "rounds": 2})), {})


def begun(folder: Path, *steps: str) -> None:
    """Begin the first round, and some of its trainings."""
    for step in ("run", *steps):
        (folder / "loop" / "round-1" / step).mkdir(parents=True)
        (folder / "loop" / "round-1" / step / SETTINGS).touch()


SMALLER = {**DPO, "training": {**DPO["training"], "batch_size": 2}}
CHANGES = [
    pytest.param(DPO, SMALLER, "attempt-1/checkpoint", "rounds.1.training.batch_size: was 4, now 2", id="policy"),
    pytest.param(REWARDED, {**REWARDED, "reward": {"batch_size": 2}}, "reward", "rounds.1.reward.batch_size: was 32, now 2", id="reward"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "changed", "step", "line"), CHANGES)
def test_training_that_has_not_begun_may_change(
    first: dict[str, Any], changed: dict[str, Any], step: str, line: str, tmp_path: Path
) -> None:
    """A batch that the pairs cannot fill is known once their calls are made."""
    claim_loop(tmp_path, first)
    others = {"attempt-1/checkpoint", "reward"} - {step}
    begun(tmp_path, *others)
    (tmp_path / "loop" / "round-1" / step).mkdir(parents=True)
    claim_loop(tmp_path, changed)
    release_claim(tmp_path / "loop" / "round-1" / step)
    claim_loop(tmp_path, first)


@pytest.mark.parametrize(("first", "changed", "step", "line"), CHANGES)
def test_training_that_has_begun_is_the_folders(
    first: dict[str, Any], changed: dict[str, Any], step: str, line: str, tmp_path: Path
) -> None:
    claim_loop(tmp_path, first)
    begun(tmp_path, step)
    with pytest.raises(UserError) as told:
        claim_loop(tmp_path, changed)
    assert str(told.value).split("\n")[1:] == [line]


def test_what_its_pairs_were_made_by_stays(tmp_path: Path) -> None:
    claim_loop(tmp_path, DPO)
    begun(tmp_path)
    with pytest.raises(UserError, match=r"rounds\.1\.older: was 0\.5, now 1\.0"):
        claim_loop(tmp_path, {**DPO, "older": 1.0})
