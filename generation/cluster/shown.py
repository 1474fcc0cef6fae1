"""What the command shows while shards run: progress, cost and failures over all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TextIO

from rich.live import Live
from rich.table import Table

from constitution.terminal import complain
from generation.calls.prices import Spent, Tariff, total
from generation.cluster.attempts import Attempts
from generation.cluster.nodes import Seen
from generation.console import Console
from generation.pipeline.progress import PLAIN_EVERY, Snapshot
from generation.shard import Shard


class ClusterProgress:
    """Shards and their prompts, live on a terminal, in plain lines elsewhere. Use as a context manager."""

    def __init__(
        self, prompts: list[int], before: Iterable[Shard], tariff: Tariff, stream: TextIO | None = None
    ) -> None:
        """prompts: of each shard. before: shards that earlier starts of the command finished."""
        self._prompts = prompts
        self._tariff = tariff
        self._done = set(before)
        self._earlier = sum(prompts[shard.number] for shard in self._done)
        self._seen: dict[Shard, Seen] = {}
        self._running: set[Shard] = set()
        self._waiting = 0
        self._restarts = 0
        self._begin = self._last = time.monotonic()
        self._console = Console(file=stream or sys.stderr)
        self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self.table)

    def __enter__(self) -> ClusterProgress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._console.print(self.line(), highlight=False, soft_wrap=True)

    def update(self, attempts: Attempts, seen: dict[Shard, Seen], done: Iterable[Shard]) -> None:
        """Take in how far all are."""
        self._seen |= seen
        self._done.update(done)
        self._running, self._waiting = set(attempts.running), attempts.waiting
        if not self._console.is_terminal and time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            self._console.print(self.line(), highlight=False, soft_wrap=True)

    def restarted(self, words: str) -> None:
        """A shard is to be started again."""
        self._restarts += 1
        complain(words)

    def line(self) -> str:
        """The state in one plain line."""
        snapshots = [one.snapshot for one in self._seen.values()]
        running = sum(seen.snapshot.done for shard, seen in self._seen.items() if shard in self._running - self._done)
        done = sum(self._prompts[shard.number] for shard in self._done) + running
        failed = sum(one.failed for one in snapshots)
        spent = total(one.spent for one in snapshots)
        shards = f"{len(self._done)}/{len(self._prompts)} shards done, {len(self._running)} under way, {self._waiting} waiting"
        prompts = f"{done}/{sum(self._prompts)} prompts ({failed} failed)"
        again = f" | {self._restarts} starts again" if self._restarts else ""
        return f"{shards} | {prompts} | {self._money(spent)}{again} | {self._left(done)} left"

    def table(self) -> Table:
        """The state as a table, a row for each shard that is under way."""
        table = Table(title=self.line())
        for name in ("shard", "node", "prompts", "failed", "calls made", "reused", "tokens"):
            table.add_column(name, justify="left" if name in ("shard", "node") else "right")
        for shard in sorted(self._running):
            node, one = self._seen.get(shard, Seen("", Snapshot()))
            prompts = f"{one.done}/{self._prompts[shard.number]}"
            values = [prompts, str(one.failed), str(one.made), str(one.reused), f"{one.spent.tokens:,}"]
            table.add_row(str(shard), node[:8], *values)
        return table

    def _money(self, spent: Spent) -> str:
        priced = f", {self._tariff.money(spent.cost)}" if self._tariff.prices else ""
        return f"{spent.calls} calls, {spent.tokens} tokens{priced}"

    def _left(self, done: int) -> str:
        made = done - self._earlier
        if made <= 0:
            return "unknown time"
        seconds = round((sum(self._prompts) - done) * (time.monotonic() - self._begin) / made)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
