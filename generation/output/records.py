"""What a run comes to, as it is counted, written and shown: outcomes of prompts and of control pairs, and forecasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import NamedTuple

from constitution.records import Critique, Dropped, Failure, PreferencePair, Prompt, Response, Stage, Vote, characters
from critics.ranking.accept import Unaccepted
from critics.ranking.human import Rewrite, Verdict, overrule
from generation.calls.prices import Spent

CONTROL = "control"
"""Stage of the failures of control pairs, which are no prompts of the run."""
CONTROL_PROMPT = "control-"
"""How the ids of control pairs' prompts begin."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """The whole outcome of one prompt. A prompt has pairs, or was dropped, or failed: `outcome` says which."""

    prompt: Prompt
    candidates: tuple[Response, ...] = ()
    """Every candidate, in a fixed order: samples or given responses, then revisions."""
    critiques: tuple[Critique, ...] = ()
    comparisons: int = 0
    """Pairs of candidates that were judged."""
    votes: tuple[Vote, ...] = ()
    pairs: tuple[PreferencePair, ...] = ()
    targets: tuple[Response, ...] = ()
    """The responses to imitate in supervised training."""
    failures: tuple[Failure, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    unaccepted: tuple[Unaccepted, ...] = ()
    """Pairs with a label that is not sure enough for the stated error."""
    ended: tuple[int, ...] = ()
    """Comparisons by the step of the cascade at which asking ended."""
    vetoed: int = 0
    """Of the comparisons, those that a veto decided."""
    rules: tuple[str, ...] = ()
    """Ids of the principles judged by rule that apply to the prompt."""

    @property
    def outcome(self) -> str:
        """`pairs`, `dropped` or `failed`."""
        if self.pairs:
            return "pairs"
        return "failed" if self.failures else "dropped"

    @property
    def characters(self) -> int:
        """Of the prompt and all candidates."""
        return characters((self.prompt, *self.candidates))

    def overruled(
        self, verdicts: Iterable[Verdict], rewrites: Iterable[Rewrite] = ()
    ) -> tuple[Feedback, list[Verdict]]:
        """(the same with what people say of its pairs and wrote, verdicts on responses that it does not have)."""
        labelled = [*self.pairs, *(one.pair for one in self.unaccepted)]
        found = overrule(self.prompt.id, self.candidates, labelled, self.votes, verdicts, rewrites)
        if not (found.spoken or found.written):
            return self, found.unknown
        accepted = {id(pair) for pair in self.pairs}
        spoken = {f"{a} vs {b}" for pair in found.spoken for a, b in permutations(pair)}
        waiting = [one for one in self.unaccepted if f"{one.pair.chosen.id} vs {one.pair.rejected.id}" not in spoken]
        return replace(
            self,
            candidates=(*self.candidates, *found.written),
            pairs=tuple(pair for pair in found.pairs if pair.source == "human" or id(pair) in accepted),
            unaccepted=tuple(waiting),
            dropped=(*(one for one in self.dropped if one.subject not in spoken), *found.dropped),
        ), found.unknown


@dataclass(frozen=True, slots=True)
class ControlOutcome:
    """What the panel said of a control pair."""

    kind: str
    votes: tuple[Vote, ...]
    """a is the better response."""
    failures: tuple[Failure, ...]
    right: bool
    """It got a label, and the right one."""


@dataclass(slots=True)
class Size:
    """Calls of one kind, and their tokens."""

    calls: int = 0
    prompt: int = 0
    guessed: bool = False
    """Only a server can count the prompts' tokens; they are guessed from characters."""
    written: int = 0
    """The most they may write."""


class Estimate(NamedTuple):
    """What the calls of one stage will take."""

    expected: Spent
    most: Spent


@dataclass(slots=True)
class Forecast:
    """Calls per stage."""

    reused: Counter[Stage] = field(default_factory=Counter)
    """Answered by the store."""
    certain: Counter[Stage] = field(default_factory=Counter)
    """Known now and not stored: they will be made."""
    following: Counter[Stage] = field(default_factory=Counter)
    """The most that can follow from answers that are not known yet."""
    control_pairs: int = 0
    """Control pairs that are judged along."""
    control_calls: int = 0
    """The most calls about them, among the certain and the following ones."""
    sizes: dict[tuple[Stage, str], Size] = field(default_factory=dict)
    """(stage, model) -> the calls that are certain."""

    def most(self) -> int:
        """The most calls the run can make."""
        return self.certain.total() + self.following.total()
