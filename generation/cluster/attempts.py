"""Which shard is to be started next and where, and when one is given up: counts alone, without Ray."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from generation.shard import Shard


class Ended(NamedTuple):
    """How one start of a shard ended."""

    shard: Shard
    done: bool
    node: str = ""
    """The node that it ran on, where that is known."""
    reason: str = ""
    """Why it is not done, in words."""
    refused: bool = False
    """The user has to mend something: a file, a setting, a package on the node."""
    limited: bool = False
    """A limit of what may be spent was reached."""
    lost: bool = False
    """The process or its node died."""
    fault: str = ""
    """The traceback of an error that nobody foresaw."""


@dataclass(slots=True)
class Standing:
    """What is known of a shard that is not done."""

    shard: Shard
    best: int = 0
    """Most prompts that any start of it has finished."""
    fruitless: int = 0
    """Starts, one after the other, that finished no more than that."""
    avoid: set[str] = field(default_factory=set)
    """Nodes on which it came to nothing new."""
    home: str = ""
    """The node whose disk has its calls; empty where that is not known."""
    ended: Ended | None = None
    """How its last start ended."""
    careful: bool = False
    """Its process died and had come to nothing new: the next one works on one prompt at a time, to find which ends it."""


class Attempts:
    """The shards of a run: waiting, running, done or given up."""

    def __init__(self, shards: Iterable[Shard], most: int) -> None:
        """most: starts in a row that may come to nothing."""
        self._most = most
        self._waiting = deque(Standing(shard) for shard in shards)
        self.running: dict[Shard, Standing] = {}
        self.given_up: list[Standing] = []
        self.done = 0
        """Since it began."""
        self.strikes: Counter[str] = Counter()
        """Node -> shards in a row that came to nothing there."""

    @property
    def left(self) -> bool:
        """Whether any shard is waiting or running."""
        return bool(self._waiting or self.running)

    @property
    def waiting(self) -> int:
        """Shards that wait for a start."""
        return len(self._waiting)

    def start(self, most: int) -> Iterator[Standing]:
        """The shards to start now, so that at most so many run."""
        while self._waiting and len(self.running) < most:
            standing = self._waiting.popleft()
            self.running[standing.shard] = standing
            yield standing

    def bad_nodes(self) -> set[str]:
        """Nodes on which nothing has come of as many shards in a row as one may be started."""
        return {node for node, count in self.strikes.items() if count >= self._most}

    def ended(self, how: Ended, finished: int) -> Standing:
        """Take in how a start ended. finished: prompts that it had finished, as far as is known."""
        standing = self.running.pop(how.shard)
        standing.ended = how
        if how.done:
            self.done += 1
            self.strikes.pop(how.node, None)
            return standing
        if finished > standing.best:
            standing.best, standing.fruitless = finished, 0
            standing.home = how.node
            self.strikes.pop(how.node, None)
        else:
            standing.fruitless += 1
            standing.home = ""
            if how.node:
                standing.avoid.add(how.node)
                self.strikes[how.node] += not how.limited
        standing.careful = how.lost and (standing.careful or standing.fruitless > 0)
        if how.limited or standing.fruitless >= self._most:
            self.given_up.append(standing)
        else:
            self._waiting.append(standing)
        return standing

    def again(self, shard: Shard) -> None:
        """Start a shard that was done: what it handed over is lost."""
        self.done -= 1
        self._waiting.append(Standing(shard))


def allowed(standing: Standing, bad: Collection[str], nodes: Collection[str]) -> list[str]:
    """Nodes that a shard must not be started on: those where it came to nothing, unless no other is left."""
    unwanted = [node for node in nodes if node in standing.avoid or node in bad]
    return unwanted if len(unwanted) < len(nodes) else []
