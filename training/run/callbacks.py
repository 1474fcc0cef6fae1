"""Live metrics of transformers' Trainer: to the terminal, to metrics.jsonl, and to the watch that may end the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.run.metrics import Metrics, Row
from training.run.trainer import EVAL
from training.run.watch import Alert, Watch

SHOWN = ("loss", "accuracy", "reward_margin", "logp_chosen", "grad_norm", "pairs_per_second")
"""What a line on the terminal says."""


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Every process watches the same numbers, so that all end together; the main one writes them."""

    def __init__(
        self, metrics: Metrics | None, watch: Watch, console: Console, steps: int, earlier: Sequence[Row] = ()
    ) -> None:
        """metrics: None in processes that write nothing. earlier: rows of before a restart, known to every process."""
        self._metrics = metrics
        self._watch = watch
        self._console = console
        self._steps = steps
        self._evaluated = [(row.step, row.values) for row in earlier if row.split == EVAL]
        self.saves: int | None = None
        """Step of the weights that are saved, once what is evaluated are these, whatever else was evaluated at that step."""
        self.stopped: Alert | None = None
        """The alert that ended the run."""
        for row in earlier:
            if row.split == "train":
                watch.see(row.step, row.values)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A row ends with each checkpoint, so that a resumed run logs the rows it would have logged."""
        if control.should_save or control.should_evaluate or state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """A row of training, or of held-out rows."""
        values = {name: float(v) for name, v in (logs or {}).items() if isinstance(v, int | float) and name != "epoch"}
        if "loss" in values:
            self._train(state.global_step, values, control)
        elif f"{EVAL}_loss" in values:
            step = state.global_step if self.saves is None else self.saves
            found = (step, {name.removeprefix(f"{EVAL}_"): v for name, v in values.items()})
            known = any(step == row[0] and (self.saves is None or found == row) for row in self._evaluated)
            if not known:
                self._evaluated.append(found)
                self._write(*found, EVAL)

    def warn(self, step: int, text: str) -> None:
        """Tell something that is no health check's."""
        if self._metrics:
            self._metrics.warn(step, text)
            self._console.print(f"warning: {text}", markup=False)

    def _train(self, step: int, values: dict[str, float], control: TrainerControl) -> None:
        self._write(step, values, "train")
        for alert in self._watch.see(step, values):
            if self._metrics:
                self._metrics.warn(step, alert.text)
                self._console.print(f"{'stopped' if alert.kind == 'stop' else 'warning'}: {alert.text}", markup=False)
            if alert.kind == "stop":
                self.stopped = self.stopped or alert
                control.should_training_stop = True
                control.should_save = False

    def _write(self, step: int, values: dict[str, float], split: str) -> None:
        if not self._metrics:
            return
        self._metrics.write(step, values, split)
        shown = "  ".join(f"{name} {values[name]:.4g}" for name in SHOWN if name in values)
        self._console.print(f"{split:5} {step:>6}/{self._steps}  {shown}", markup=False)


class Progress(TrainerCallback):  # type: ignore[misc]
    """Ends a run whose held-out loss falls no more, and keeps each new best. Every process sees the same losses."""

    def __init__(self, patience: int | None, best: bool, earlier: Sequence[Row] = ()) -> None:
        """patience: evaluations without a new best that are one too many. best: save a checkpoint at each new best."""
        self._patience = patience
        self._best = best
        self._losses = [row.values["loss"] for row in earlier if row.split == EVAL]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The last step is evaluated once, as it is saved, but where its loss decides which step is saved."""
        if state.global_step >= state.max_steps and not (self._patience or self._best):
            control.should_evaluate = False

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        """No checkpoint is written where patience ends a run: one that is killed after it stops there again."""
        self._losses.append(metrics[f"{EVAL}_loss"])
        since = len(self._losses) - 1 - self._losses.index(min(self._losses))
        if self._patience and since >= self._patience:
            control.should_training_stop = True
            control.should_save = False
        elif self._best and since == 0 and not control.should_training_stop:
            control.should_save = True
