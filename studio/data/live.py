"""What a folder says of how far it is: read from its files alone, again and again."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from constitution.errors import UserError
from constitution.records import PreferencePair
from critics.transcript import message_text
from evaluation.diff.ballots import config_of
from generation.calls.prices import Tariff
from generation.calls.watching import CallWatch, StageSum
from generation.models.factory import model_registry
from generation.output.folder import MACHINE, run_folder
from generation.output.manifest import Manifest, read
from generation.output.reading import read_message
from generation.output.settled import read_outcome
from generation.pipeline.cost import tariff
from generation.pipeline.session import CALLS
from training.loop.record import DONE, Decision, Outcome
from training.loop.record import read as read_record
from training.loop.steps import DECISION, parts
from training.online.pairs import FILE as PAIRS
from training.run.metrics import DATA, FILE, WARNING, describe
from training.run.metrics import read as read_metrics

RESPONSES = "responses.jsonl"
"""Of the last evaluation of PPO (training/ppo/trainer.py, which would load torch)."""
Points = list[tuple[float, float]]
MOST = 300
"""Points of a curve that are drawn."""
SHOWN, BEGINNING = 5, 400
"""Newest pairs that are shown, and characters of their texts."""
TAIL = 1 << 18
"""Bytes at the end of a file in which its last lines are looked for."""


class NewPair(NamedTuple):
    """A pair that a run or a training has just made."""

    prompt: str
    chosen: str
    rejected: str
    """Empty where there is one response alone."""
    p: float | None
    prompt_id: str = ""


class RunState(NamedTuple):
    """Of a run of feedback."""

    manifest: Manifest | None
    """None while it is not finished."""
    prompts: int
    total: int | None
    """Prompts that it is over; None where that is not known."""
    stages: dict[str, StageSum]
    newest: list[tuple[str, str, str, str, str]]
    """(key, stage, prompt, subject, why it failed or empty) of the last calls."""
    pairs: list[NewPair]
    """Of the last prompts."""
    rate: float | None
    """Tokens a second since it was looked at before; None at first. Of a finished run, of all its time."""
    seconds_left: float | None
    """By the prompts done since the first look."""
    cost: float | None
    """Of the calls that are stored, in `currency`; None without prices."""
    currency: str


class TrainingState(NamedTuple):
    """Of a training."""

    step: int
    curves: dict[str, dict[str, Points]]
    """Title of a plot -> its lines."""
    warnings: list[str]
    latest: dict[str, str]
    """What was logged last of its speed and of what was read, in words."""
    pairs: list[NewPair]
    """The last pairs that it learned from, or the responses of its last evaluation."""


class LoopRound(NamedTuple):
    """One attempt at a round; what all attempts share is of attempt 0."""

    number: int
    attempt: int
    decision: Decision | None
    """None while it is not decided."""
    parts: dict[str, str]
    """What it made -> its name among what the studio leads to."""


class LoopState(NamedTuple):
    """Of a loop."""

    rounds: list[LoopRound]
    outcome: Outcome | None
    """None while it is not finished."""


@dataclass(slots=True)
class RunWatch:
    """Looks at a run."""

    folder: Path
    _calls: CallWatch = field(init=False)
    _before: tuple[float, int] | None = None
    _first: tuple[float, int] | None = None
    _tariff: Tariff | None = None
    _total: int | None = None

    def __post_init__(self) -> None:
        self._calls = CallWatch(self.folder / CALLS)
        with suppress(UserError):  # the models may be elsewhere by now
            snapshot = run_folder(self.folder).snapshot() or {}
            self._total = snapshot.get(MACHINE, {}).get("prompts")
            config = config_of(self.folder)
            self._tariff = tariff(config, model_registry(config)) if config.prices else None

    def look(self) -> RunState:
        """How far it is now. Raises UserError for damaged files."""
        calls = self._calls
        calls.update()
        found = [outcome for body in calls.outcomes if (outcome := read_outcome(body))]
        pairs = [_new_pair(one) for outcome in found for one in outcome.pairs]
        manifest = read(self.folder)
        cost, currency = self._cost(manifest)
        return RunState(
            manifest,
            manifest.counts.prompts if manifest else calls.prompts,
            self._total,
            calls.stages,
            calls.newest,
            pairs[:SHOWN],
            self._rate(manifest),
            self._left(),
            cost,
            currency,
        )

    def _rate(self, manifest: Manifest | None) -> float | None:
        if manifest:
            tokens = manifest.tokens.prompt + manifest.tokens.completion
            return tokens / manifest.seconds.wall if manifest.seconds.wall else None
        now, tokens = time.monotonic(), sum(one.prompt + one.completion - one.cached for one in self._stages)
        rate = None
        if self._before and now > self._before[0]:
            rate = max(0.0, (tokens - self._before[1]) / (now - self._before[0]))
        self._before = now, tokens
        return rate

    @property
    def _stages(self) -> list[StageSum]:
        return [*self._calls.stages.values()]

    def _left(self) -> float | None:
        now, done = time.monotonic(), self._calls.prompts
        self._first = self._first or (now, done)
        since, before = self._first
        if self._total is None or done <= before:
            return None
        return (now - since) / (done - before) * max(0, self._total - done)

    def _cost(self, manifest: Manifest | None) -> tuple[float | None, str]:
        if manifest and manifest.cost:
            return manifest.cost.amount, manifest.cost.currency
        if self._tariff is None:
            return None, ""
        return sum(
            self._tariff.spent(model, usage).cost for (model, _), usage in self._calls.usage.items()
        ), self._tariff.currency


def _new_pair(pair: PreferencePair) -> NewPair:
    chosen, rejected = (message_text(side.message)[:BEGINNING] for side in (pair.chosen, pair.rejected))
    return NewPair("", chosen, rejected, pair.p_chosen, pair.prompt_id)


def training_state(folder: Path) -> TrainingState:
    """How far a training is. Raises UserError for damaged files."""
    rows = read_metrics(folder / FILE)
    curves: dict[str, dict[str, Points]] = {}
    latest: dict[str, str] = {}
    for row in rows:
        if row.split == DATA:
            latest |= {name: f"{value:,.6g}" for name, value in row.values.items()}
        for name, value in row.values.items() if row.split not in (WARNING, DATA) else ():
            metric = describe(name)
            if metric.group == "speed":
                latest[name] = f"{value:,.4g}"
            line = curves.setdefault(metric.chart or name, {}).setdefault(
                name if row.split == "train" else f"{name} ({row.split})", []
            )
            line.append((row.step, value))
    thin = {
        title: {name: line[:: -(-len(line) // MOST)] for name, line in lines.items()} for title, lines in curves.items()
    }
    warnings = [r.text for r in rows if r.split == WARNING]
    return TrainingState(max((r.step for r in rows), default=0), thin, warnings, latest, _written(folder))


def _written(folder: Path) -> list[NewPair]:
    """The last pairs of online training, else the last responses of PPO's evaluation."""
    pairs = [
        NewPair(_text(row.get("prompt")), _text(row.get("chosen")), _text(row.get("rejected")), row.get("p_chosen"))
        for row in _last_rows(folder / PAIRS)
    ]
    return pairs or [
        NewPair(_text(row.get("prompt")), _text(row.get("response")), "", None)
        for row in _last_rows(folder / RESPONSES)
    ]


def _last_rows(path: Path) -> list[dict[str, Any]]:
    """The last whole lines of a file, the newest first; a line that is being written is left out."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        lines = file.read().split(b"\n")[1 if size > TAIL else 0 : -1]
    found = []
    for line in reversed(lines[-SHOWN:]):
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                found.append(row)
    return found


def _text(value: object) -> str:
    """A text, or the texts of messages, as far as they are shown."""
    if isinstance(value, list):
        said = []
        for one in value:
            with suppress(ValueError):
                said += [message_text(read_message(one))] if isinstance(one, dict) else []
        value = "\n".join(said)
    return str(value or "")[:BEGINNING]


def loop_state(folder: Path) -> LoopState:
    """How far a loop is. Raises UserError for damaged files."""
    made: dict[tuple[int, int], dict[str, str]] = {}
    for part in parts(folder):
        made.setdefault((part.round, part.attempt), {})[part.name] = part.label
    paths = folder.glob(f"round-*/attempt-*/{DECISION}")
    decisions = {(one.round, one.attempt): one for path in paths if (one := read_record(path, Decision))}
    rounds = [LoopRound(*key, decisions.get(key), made.get(key, {})) for key in sorted({*made, *decisions})]
    return LoopState(rounds, read_record(folder / DONE, Outcome))
