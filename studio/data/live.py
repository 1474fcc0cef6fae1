"""What a folder says of how far it is: read from its files alone, again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from generation.calls.watching import CallWatch, StageSum
from generation.output.manifest import Manifest, read
from generation.pipeline.session import CALLS
from training.loop.record import DONE, Decision, Outcome
from training.loop.record import read as read_record
from training.loop.steps import DECISION
from training.run.metrics import DATA, FILE, WARNING, describe
from training.run.metrics import read as read_metrics

Points = list[tuple[float, float]]
MOST = 300
"""Points of a curve that are drawn."""


class RunState(NamedTuple):
    """Of a run of feedback."""

    manifest: Manifest | None
    """None while it is not finished."""
    prompts: int
    stages: dict[str, StageSum]
    newest: list[tuple[str, str, str, str, str]]
    """(key, stage, prompt, subject, why it failed or empty) of the last calls."""
    rate: float | None
    """Tokens a second since it was looked at before; None at first."""


class TrainingState(NamedTuple):
    """Of a training."""

    step: int
    curves: dict[str, dict[str, Points]]
    """Title of a plot -> its lines."""
    warnings: list[str]


class LoopState(NamedTuple):
    """Of a loop."""

    decisions: list[Decision]
    """One for each attempt at a round, in order."""
    outcome: Outcome | None
    """None while it is not finished."""


@dataclass(slots=True)
class RunWatch:
    """Looks at a run."""

    folder: Path
    _calls: CallWatch = field(init=False)
    _before: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self._calls = CallWatch(self.folder / CALLS)

    def look(self) -> RunState:
        """How far it is now. Raises UserError for damaged files."""
        calls = self._calls
        calls.update()
        now, tokens = time.monotonic(), sum(one.prompt + one.completion - one.cached for one in calls.stages.values())
        rate = None
        if self._before and now > self._before[0]:
            rate = max(0.0, (tokens - self._before[1]) / (now - self._before[0]))
        self._before = now, tokens
        return RunState(read(self.folder), calls.prompts, calls.stages, calls.newest, rate)


def training_state(folder: Path) -> TrainingState:
    """How far a training is. Raises UserError for damaged files."""
    rows = read_metrics(folder / FILE)
    curves: dict[str, dict[str, Points]] = {}
    for row in rows:
        for name, value in row.values.items() if row.split not in (WARNING, DATA) else ():
            title = describe(name).chart or name
            line = curves.setdefault(title, {}).setdefault(
                name if row.split == "train" else f"{name} ({row.split})", []
            )
            line.append((row.step, value))
    thin = {
        title: {name: line[:: -(-len(line) // MOST)] for name, line in lines.items()} for title, lines in curves.items()
    }
    return TrainingState(max((r.step for r in rows), default=0), thin, [r.text for r in rows if r.split == WARNING])


def loop_state(folder: Path) -> LoopState:
    """How far a loop is. Raises UserError for damaged files."""
    paths = sorted(folder.glob(f"round-*/attempt-*/{DECISION}"))
    decisions = [one for path in paths if (one := read_record(path, Decision))]
    return LoopState(sorted(decisions, key=lambda one: (one.round, one.attempt)), read_record(folder / DONE, Outcome))
