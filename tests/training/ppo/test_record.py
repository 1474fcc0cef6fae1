"""What PPO logs and watches is the same whether or not a run was interrupted."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from generation.settings import load
from training.ppo.config import PPO
from training.ppo.record import Record
from training.run.fit import Stopped
from training.run.metrics import Metrics, Row, read

SETTINGS: dict[str, Any] = {
    "reward": {"rules": {"constitution": "x"}},
    "log_every": 3,
    "save_every": 4,
    "watch": {"patience": 5, "min_length": 5.0},
}


def record(metrics: Metrics | None, past: list[Row]) -> Record:
    return Record(metrics, past, load(PPO, None, [], SETTINGS), Console(quiet=True), 14, lambda *_: None)


def stops_at(log: Record, first: int) -> int:
    """The iteration at which responses that are too short end the run."""
    for step in range(first, 20):
        try:
            log.train(step, {"length": 1.0})
        except Stopped:
            return step
    return 0


def test_a_row_is_logged_at_its_turn_at_each_checkpoint_and_at_the_end(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    log = record(metrics, [])
    for step in range(1, 15):
        log.train(step, {"length": 9.0})
    metrics.close()
    assert [row.step for row in read(metrics.path)] == [3, 4, 6, 8, 9, 12, 14]


@pytest.mark.parametrize("checkpoint", [0, 4, 8])
def test_a_resumed_run_sees_what_it_would_have_seen(checkpoint: int) -> None:
    """Five rows are too short, one after the other: those of steps 3, 4, 6, 8 and 9."""
    past = [Row(step, "train", {"length": 1.0}) for step in (3, 4, 6, 8) if step <= checkpoint]
    assert stops_at(record(None, past), checkpoint + 1) == 9
