"""What is logged of transformers' training, and what ends it: without a model."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState

from training.config import WatchSettings
from training.run.callbacks import Progress, Recorder
from training.run.metrics import Metrics, Row, read
from training.run.watch import Watch

ARGUMENTS: Any = None
"""transformers' own, which nothing here reads."""


def at(step: int, last: int = 9) -> TrainerState:
    return TrainerState(global_step=step, max_steps=last)


@pytest.mark.parametrize(
    ("due", "step", "logged"),
    [({}, 3, False), ({"should_save": True}, 3, True), ({"should_evaluate": True}, 3, True), ({}, 9, True)],
)
def test_a_row_ends_with_a_checkpoint_an_evaluation_and_the_run(due: dict[str, bool], step: int, logged: bool) -> None:
    control = TrainerControl(**due)
    Recorder(None, Watch(), Console(quiet=True), 9).on_step_end(ARGUMENTS, at(step), control)
    assert control.should_log == logged


def test_rows_are_written_and_shown_each_once(tmp_path: Path) -> None:
    metrics, console = Metrics(tmp_path), Console(record=True, width=100, file=io.StringIO())
    recorder = Recorder(metrics, Watch(), console, 9, [Row(2, "eval", {"loss": 1.0})])
    control = TrainerControl()
    recorder.on_log(ARGUMENTS, at(3), control, {"loss": 0.5, "accuracy": 0.75, "epoch": 1.5})
    for step in (2, 3, 3):  # step 2 was evaluated before a restart
        recorder.on_log(ARGUMENTS, at(step), control, {"eval_loss": 0.25, "eval_accuracy": 1.0})
    recorder.on_log(ARGUMENTS, at(9), control, {"train_runtime": 9.0})
    metrics.close()
    assert [tuple(row)[:3] for row in read(metrics.path)] == [
        (3, "train", {"loss": 0.5, "accuracy": 0.75}),
        (3, "eval", {"loss": 0.25, "accuracy": 1.0}),
    ]
    assert console.export_text().split("\n")[:2] == [
        "train      3/9  loss 0.5  accuracy 0.75",
        "eval       3/9  loss 0.25  accuracy 1",
    ]
    assert not control.should_training_stop
    assert recorder.stopped is None


def test_a_sign_that_ends_the_run_leaves_no_checkpoint_of_it(tmp_path: Path) -> None:
    """Responses are too short in two rows after each other, one of them before a restart."""
    metrics, console = Metrics(tmp_path), Console(record=True, width=200, file=io.StringIO())
    short = {"loss": 0.5, "length": 1.0}
    watch = Watch(WatchSettings(min_length=5.0, patience=2))
    recorder = Recorder(metrics, watch, console, 9, [Row(1, "train", short)])
    control = TrainerControl(should_save=True)
    recorder.on_log(ARGUMENTS, at(2), control, short)
    metrics.close()
    assert control.should_training_stop
    assert not control.should_save
    assert recorder.stopped is not None
    assert [row.text for row in read(metrics.path) if row.split == "warning"] == [recorder.stopped.text]
    assert f"stopped: {recorder.stopped.text}" in console.export_text()


def ends(progress: Progress, losses: list[float]) -> list[tuple[bool, bool]]:
    """(ends the run, saves) after each evaluation."""
    found = []
    for step, loss in enumerate(losses):
        control = TrainerControl()
        progress.on_evaluate(ARGUMENTS, at(step), control, {"eval_loss": loss})
        found.append((control.should_training_stop, control.should_save))
    return found


def test_each_new_best_is_saved_and_patience_ends_the_run() -> None:
    nothing, saved, ended = (False, False), (False, True), (True, False)
    assert ends(Progress(2, True), [3.0, 2.0, 2.5, 2.0]) == [saved, saved, nothing, ended]  # as good is no new best
    assert ends(Progress(2, False), [3.0, 2.0, 2.5, 2.1]) == [nothing, nothing, nothing, ended]
    assert ends(Progress(None, True), [3.0, 4.0, 5.0, 2.0]) == [saved, nothing, nothing, saved]
    earlier = [Row(1, "eval", {"loss": 1.0}), Row(1, "train", {"loss": 0.1})]
    assert ends(Progress(2, True, earlier), [1.5, 1.2]) == [nothing, ended]


def test_nothing_is_saved_where_the_run_ends_for_another_reason() -> None:
    control = TrainerControl(should_training_stop=True)
    Progress(None, True).on_evaluate(ARGUMENTS, at(1), control, {"eval_loss": 1.0})
    assert not control.should_save
