"""What the labelled pairs of a run have in common: judge biases, which objectives clash, which pairs to read."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from typing import Any

from constitution.digest import digest
from constitution.words import repetition
from critics.ranking.weights import Estimate
from critics.text.biases import BIASES
from critics.text.tone import READ
from evaluation.statistics import share
from generation.output import reading
from generation.output.reading import Of, Pair, Voter, split_files

LOOPS = 0.5
"""Share of repeated word 3-grams from which a response goes round in circles."""
GIVEN = "given"
"""Stands where a response has no policy, having come with its prompt."""
SCORES = 20_000
"""Pairs of which two objectives' scores are kept."""
KINDS = ("sampled", "most contested", "position-inconsistent")
"""Which pairs are shown to be read."""


@dataclass(slots=True)
class Tally:
    """How often something happened when it could have."""

    hits: int = 0
    n: int = 0

    def add(self, hit: bool) -> None:
        """Count one chance of it."""
        self.hits += hit
        self.n += 1

    @property
    def share(self) -> Estimate:
        """hits / n, with its 95% interval."""
        return share(self.hits, self.n)


@dataclass(slots=True)
class Pairs:
    """Sums over a run's pairs, and the few to read."""

    log_odds: array[float] = field(default_factory=lambda: array("d"))
    biases: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in BIASES})
    """Bias -> pairs whose responses differ in it, and those in which the response that has more of it is chosen."""
    voter_biases: defaultdict[Voter, dict[str, Tally]] = field(
        default_factory=lambda: defaultdict(lambda: {name: Tally() for name in BIASES})
    )
    """The same for every voter's own vote."""
    with_label: defaultdict[Voter, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """Votes that take a side, and those that take the label's."""
    loops: Tally = field(default_factory=Tally)
    """Chosen responses, and those that go round in circles."""
    objectives: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """Pairs in which the objective takes a side, and those in which it takes the label's."""
    trades: defaultdict[tuple[str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """Pairs in which both objectives take a side, and those in which one wins what the other loses."""
    scores: defaultdict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Scores for the chosen response of both, in the first SCORES of these pairs."""
    chosen: set[str] = field(default_factory=set)
    """Ids of the responses that were chosen somewhere."""
    rejected: set[str] = field(default_factory=set)
    meetings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(who wrote the chosen response, who the rejected one) -> pairs; GIVEN for responses that came with the prompt."""
    read: dict[str, list[Pair]] = field(default_factory=dict)
    """Kind -> the pairs to read."""


def read_pairs(run: Path, examples: int, seed: int, of: Of = None) -> Pairs:
    """One pass over the preference pairs. Raises UserError."""
    pairs = Pairs()
    best = {kind: _Best(examples) for kind in KINDS}
    for split, path in split_files(run, "preferences"):
        for pair in reading.read_pairs(path, split, of=of):
            _add(pairs, pair)
            name = f"{pair.chosen_id} {pair.rejected_id}"
            best["sampled"].offer((digest(f"{seed} {name}", 8),), pair)
            values = [vote.value for vote in pair.votes]
            against = sum(-value for value in values if value < 0)
            conflict = min(against, sum(value for value in values if value > 0))
            if conflict > 0:
                best["most contested"].offer((-conflict, name), pair)
            position_inconsistent = [abs(vote.bias) for vote in pair.votes if vote.position_inconsistent]
            if position_inconsistent:
                best["position-inconsistent"].offer((-sum(position_inconsistent), name), pair)
    pairs.read = {kind: found.pairs() for kind, found in best.items()}
    return pairs


def _add(pairs: Pairs, pair: Pair) -> None:
    pairs.log_odds.append(pair.log_odds)
    pairs.chosen.add(pair.chosen_id)
    pairs.rejected.add(pair.rejected_id)
    pairs.meetings[pair.chosen_policy or GIVEN, pair.rejected_policy or GIVEN] += 1
    chosen, rejected = pair.chosen.content, pair.rejected.content
    pairs.loops.add(repetition(chosen[:READ]) > LOOPS)
    voted = [((vote.judge, vote.method, vote.principle), vote.value) for vote in pair.votes if vote.value]
    for name, amount in BIASES.items():
        more = amount(chosen) - amount(rejected)
        if not more:
            continue
        pairs.biases[name].add(more > 0)
        for voter, value in voted:
            pairs.voter_biases[voter][name].add((value > 0) == (more > 0))
    for voter, value in voted:
        pairs.with_label[voter].add(value > 0)
    scores = {name: value for name, value in pair.objectives.items() if value}
    for name, value in scores.items():
        pairs.objectives[name].add(value > 0)
    for a, b in combinations(sorted(scores), 2):
        pairs.trades[a, b].add((scores[a] > 0) != (scores[b] > 0))
        if len(pairs.scores[a, b]) < SCORES:
            pairs.scores[a, b].append((scores[a], scores[b]))


class _Best:
    """The pairs with the smallest keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: list[tuple[tuple[Any, ...], Pair]] = []

    def offer(self, key: tuple[Any, ...], pair: Pair) -> None:
        """Keep the pair while it is among the best."""
        if len(self._found) < self._size or (self._found and key < self._found[-1][0]):
            self._found = nsmallest(self._size, [*self._found, (key, pair)], key=itemgetter(0))

    def pairs(self) -> list[Pair]:
        """Best first."""
        return [pair for _, pair in self._found]
