"""What PPO logs: to the terminal, to metrics.jsonl, and to the watch that may end the run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from training.config import RecipeName
from training.monitor.monitor import Verdict
from training.ppo.config import PPO
from training.run.fit import Stopped
from training.run.metrics import Metrics, Row
from training.run.watch import Watch

SHOWN = (
    "score",
    "judged_pairs",
    "accuracy",
    "gold",
    "success",
    "kl",
    "length",
    "entropy",
    "clip_fraction",
    "mismatch",
    "failed",
    "seconds",
)
"""What a line on the terminal says."""

Live = Callable[[Mapping[str, float], int], None]


class Record:
    """Every process watches the same numbers, so that all end together; the main one writes them."""

    def __init__(
        self,
        metrics: Metrics | None,
        past: Sequence[Row],
        settings: PPO,
        console: Console,
        steps: int,
        live: Live,
        recipe: RecipeName = "ppo",
    ) -> None:
        """metrics: None in processes that write nothing. past: rows that were logged before a restart. live: takes numbers by name
        and their step, for whoever else shows them.
        """
        self._metrics = metrics
        self._watch = Watch(settings.watch, recipe)
        self._every = settings.log_every
        self._saved = settings.save_every or 0
        self._console = console
        self._steps = steps
        self._live = live
        for row in past:
            if row.split == "train":
                self._watch.see(row.step, row.values)
        if settings.sampler.top_p < 1 and not any(row.split == "train" for row in past):
            text = (
                f"sampler.top_p is {settings.sampler.top_p}: responses come from another distribution than the one that is "
                "trained; mismatch shows how far it is"
            )
            self._warn(0, f"warning: {text}", text)

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """One iteration, logged where it is its turn, or the last one before a checkpoint. Raises Stopped where a health check ends
        the run. What is not logged is not watched either: a run that goes on could not see it again.
        """
        saved = self._saved and step % self._saved == 0
        if step % self._every and not saved and step != self._steps:
            return
        self._write(step, values, "train")
        for alert in self._watch.see(step, values):
            self._warn(step, f"{'stopped' if alert.kind == 'stop' else 'warning'}: {alert.text}", alert.text)
            if alert.kind == "stop":
                raise Stopped(alert.text)

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Held-out prompts."""
        self._write(step, values, "eval")

    def verdict(self, step: int, verdict: Verdict) -> None:
        """What the monitor says that it has not said before."""
        for alert in verdict.alerts:
            if alert.new:
                self._warn(step, f"{'halted' if alert.level == 'halt' else 'warning'}: {alert.text}", alert.text)

    def failures(self, step: int, counts: Counter[str]) -> None:
        """Responses without a reward; they are left out of the update."""
        text = f"{counts.total()} responses have no reward: {counts.most_common(1)[0][0][:200]}"
        self._console.print(f"step {step}: {text}", markup=False) if self._metrics else None

    def _warn(self, step: int, shown: str, text: str) -> None:
        if self._metrics:
            self._metrics.warn(step, text)
            self._console.print(shown, markup=False)

    def _write(self, step: int, values: Mapping[str, float], split: str) -> None:
        if self._metrics:
            self._metrics.write(step, values, split)
            self._live({f"{split}/{name}": value for name, value in values.items()}, step)
            shown = "  ".join(f"{name} {values[name]:.4g}" for name in SHOWN if name in values)
            self._console.print(f"{split:5} {step:>6}/{self._steps}  {shown}", markup=False)


def averages(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each number's mean over the rows that have it."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            found[name].append(value)
    return {name: math.fsum(values) / len(values) for name, values in sorted(found.items())}
