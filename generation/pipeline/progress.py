"""What a run shows while it works: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from rich.live import Live
from rich.table import Table

from constitution.records import STAGES, Stage
from generation.calls.budget import NOTHING, Budget
from generation.calls.prices import Spent
from generation.console import Console
from generation.engines.base import Completion, Request, Usage
from generation.output.records import CONTROL_PROMPT

PLAIN_EVERY = 10.0
"""Seconds between two log lines when the output is not a terminal."""


@dataclass(slots=True)
class StageCount:
    """What one stage has done so far."""

    made: int = 0
    reused: int = 0
    failed: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def add(self, completion: Completion, reused: bool) -> None:
        """Count one call. Tokens count where they were computed: in this process."""
        self.reused += reused
        self.made += not reused
        self.failed += completion.error is not None
        if not reused:
            self.prompt += completion.usage.prompt
            self.cached += completion.usage.cached
            self.completion += completion.usage.completion


class Snapshot(NamedTuple):
    """How far a run is, as another process may want to know."""

    done: int = 0
    """Prompts that are finished."""
    failed: int = 0
    made: int = 0
    """Calls since it started; likewise reused."""
    reused: int = 0
    spent: Spent = NOTHING
    """Over all its starts."""


class Progress:
    """Observes calls and finished prompts. Use as a context manager around the run."""

    def __init__(self, prompts: int, stream: TextIO | None = None) -> None:
        """stream: where it writes; the standard error stream where None."""
        self.stages: defaultdict[Stage, StageCount] = defaultdict(StageCount)
        self.budget: Budget | None = None
        """What was spent, over all starts, where that is counted."""
        self._prompts = prompts
        self._done = 0
        self._failed = 0
        self._under_way: Counter[str] = Counter()
        """Prompt -> calls made for it so far, of those that are not finished."""
        self._made = 0
        """Calls made, those about control pairs too."""
        self._took: list[int] = [0, 0]
        """Finished prompts that needed calls, and how many."""
        self._begin = time.monotonic()
        self._last = self._begin
        self._console = Console(file=stream or sys.stderr)
        self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self.table)

    def __enter__(self) -> Progress:
        self._begin = self._last = time.monotonic()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._console.print(self.line(), highlight=False, soft_wrap=True)

    def call(self, request: Request, completion: Completion, reused: bool, _seconds: float) -> None:
        """One call was answered."""
        self.stages[request.stage].add(completion, reused)
        self._made += not reused
        if not request.subject.prompt.startswith(CONTROL_PROMPT):
            self._under_way[request.subject.prompt] += not reused
        self._log()

    def row(self, prompt: str, failed: bool) -> None:
        """One prompt is finished."""
        self._done += 1
        self._failed += failed
        if calls := self._under_way.pop(prompt, 0):
            self._took[0] += 1
            self._took[1] += calls
        self._log()

    @property
    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.monotonic() - self._begin

    def left(self) -> str:
        """Time left, from the calls that are left: as many for each prompt as the finished ones needed, at the pace so far.

        Prompts are worked on side by side, so that those finished say little of the time: most calls of the others may be made.
        """
        prompts, calls = self._took
        left = self._prompts - self._done
        if left and not prompts:
            return "unknown time"
        to_make = max(calls / prompts * left - self._under_way.total(), 0) if left else 0
        seconds = round(to_make * self.seconds / max(self._made, 1))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def totals(self) -> Usage:
        """Tokens computed in this process, all stages."""
        counts = self.stages.values()
        return Usage(sum(c.prompt for c in counts), sum(c.cached for c in counts), sum(c.completion for c in counts))

    def _rates(self) -> str:
        usage = self.totals()
        share = f"{usage.cached / usage.prompt:.0%}" if usage.prompt else "-"
        rates = f"{usage.completion / max(self.seconds, 1e-9):.0f} tokens/s, {share} of prompt tokens cached"
        priced = self.budget and self.budget.tariff.prices
        return f"{rates}, {self.budget.tariff.money(self.budget.spent.cost)}" if self.budget and priced else rates

    def snapshot(self) -> Snapshot:
        """How far it is."""
        stages = self.stages.values()
        made, reused = sum(one.made for one in stages), sum(one.reused for one in stages)
        return Snapshot(self._done, self._failed, made, reused, self.budget.spent if self.budget else Spent())

    def line(self) -> str:
        """The state in one plain line."""
        stages = ", ".join(f"{s} {self.stages[s].made + self.stages[s].reused}" for s in STAGES if s in self.stages)
        prompts = f"{self._done}/{self._prompts} prompts ({self._failed} failed)"
        return f"{prompts} | {stages or 'no calls yet'} | {self._rates()} | {self.left()} left"

    def table(self) -> Table:
        """The state as a table, one row per stage."""
        table = Table(
            title=f"{self._done}/{self._prompts} prompts, {self._failed} failed, {self._rates()}, {self.left()} left"
        )
        for name in ("stage", "made", "reused", "failed", "tokens/s", "prompt tokens cached"):
            table.add_column(name, justify="left" if name == "stage" else "right")
        for stage in STAGES:
            c = self.stages.get(stage, StageCount())
            rate = f"{c.completion / max(self.seconds, 1e-9):.0f}"
            cached = f"{c.cached / c.prompt:.0%}" if c.prompt else "-"
            table.add_row(stage, str(c.made), str(c.reused), str(c.failed), rate, cached)
        return table

    def _log(self) -> None:
        if not self._console.is_terminal and time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            self._console.print(self.line(), highlight=False, soft_wrap=True)
