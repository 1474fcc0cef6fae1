"""What a run accepted under a stated error, as its manifest has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain

from pydantic import Field

from constitution.records import Strict
from critics.ranking.accept import Acceptance, Kind, kinds_of
from generation.output.records import Feedback

KINDS = 40
"""Kinds of pairs whose shares are kept, the commonest."""


class Accepted(Strict):
    """Labels with a stated error: what is promised of the pairs, and what it cost."""

    promise: str
    """In words."""
    max_error: float
    confidence: float | None
    """None where it holds on average."""
    labels: int
    """Labelled pairs that it rests on."""
    judged: int
    """Pairs that have a label by their votes."""
    accepted: int
    """Of those, accepted ones: they are the pairs of the run."""
    ended: tuple[int, ...] = ()
    """Comparisons by the step of the cascade at which asking ended; one where there is no cascade."""
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Kind of pair -> how common it is among accepted pairs and among all: acceptance selects."""


@dataclass(slots=True)
class AcceptedTally:
    """Counts, as prompts are finished."""

    judged: int = 0
    accepted: int = 0
    ended: Counter[int] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    """Kind of pair -> accepted ones."""
    every: Counter[str] = field(default_factory=Counter)

    def add(self, feedback: Feedback) -> None:
        """Count one prompt's pairs; a person's label needs no promise."""
        accepted = [pair for pair in feedback.pairs if pair.source != "human"]
        every = [*accepted, *(one.pair for one in feedback.unaccepted)]
        self.judged += len(every)
        self.accepted += len(accepted)
        self.ended.update(dict(enumerate(feedback.ended)))
        for found, pairs in ((self.taken, accepted), (self.every, every)):
            found.update(chain.from_iterable(kinds_of(pair, feedback.prompt) for pair in pairs))

    def whole(self, acceptance: Acceptance) -> Accepted:
        """All of the run."""
        kinds = {
            name: Kind(accepted=self.taken[name] / max(1, self.accepted), all=count / max(1, self.judged))
            for name, count in sorted(self.every.most_common(KINDS))
        }
        return Accepted(
            promise=acceptance.promise(),
            max_error=acceptance.max_error,
            confidence=acceptance.confidence,
            labels=acceptance.labels,
            judged=self.judged,
            accepted=self.accepted,
            ended=tuple(self.ended[step] for step in range(len(acceptance.steps))),
            kinds=kinds,
        )
