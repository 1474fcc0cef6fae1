"""What people's answers say: how often the panel is right, how far people agree, and how many more labels tell more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from critics.ranking.intervals import Z
from critics.ranking.weights import Estimate
from evaluation.judge.fitting import averaged_weights
from evaluation.review.order import majority
from evaluation.statistics import Floats, accuracy, share

HALF_WIDTH = 0.05
"""Of the interval that a number of further labels is named for."""
LEAST = 10
"""Labels that a panel is fitted on, at least."""
POINTS = 8
"""Sizes at which the learning curve is looked at."""


class Labelled(NamedTuple):
    """A pair that people answered."""

    said: Mapping[str, str]
    """Person -> `a`, `b`, `tie` or `both_bad`."""
    logit: float
    """The panel's log-odds for a."""
    row: Floats
    """[voters] scaled votes for a."""
    drawn: bool
    """It is of the random sample."""


class Agreement(NamedTuple):
    """How far two people agree on the pairs that both answered."""

    one: str
    other: str
    pairs: int
    share: Estimate
    kappa: float


class Progress(NamedTuple):
    """What the answers so far say."""

    labels: int
    """Pairs with an answer."""
    preferences: int
    """Of those, the ones of which most people prefer one response."""
    people: Mapping[str, int]
    """Person -> pairs answered."""
    accuracy: Estimate
    """Share of the sampled pairs with a preference that the panel labels as people do."""
    sampled: int
    """Pairs that this is of."""
    chosen: Estimate
    """The same share of the pairs that were chosen for what they tell; not that of all pairs."""
    kappa: float
    """Cohen's, between the panel and people, on the sampled pairs."""
    needed: int
    """Further sampled pairs until the interval of `accuracy` is HALF_WIDTH to each side."""
    curve: tuple[tuple[int, Estimate], ...]
    """(labels, accuracy of a panel that is fitted on so many, on the later ones)."""
    agreements: tuple[Agreement, ...]

    def lines(self) -> list[str]:
        """In words."""
        if not self.labels:
            return ["no labels yet"]
        found = [f"{self.labels} pairs labelled, {self.preferences} with a preference"]
        if self.sampled:
            found.append(
                f"panel right on {_percent(self.accuracy)} of {self.sampled} pairs drawn at random; kappa {_number(self.kappa)}"
            )
        if self.preferences > self.sampled:
            count = self.preferences - self.sampled
            found.append(f"panel right on {_percent(self.chosen)} of {count} pairs chosen because they are hard")
        if self.needed:
            found.append(f"{self.needed} more pairs drawn at random for +-{100 * HALF_WIDTH:.0f} points")
        found += [
            f"fitted on {size} labels: right on {_percent(value)} of the later ones" for size, value in self.curve
        ]
        for one in self.agreements:
            who = f"{one.one or 'unnamed'} and {one.other or 'unnamed'}"
            found.append(f"{who} agree on {_percent(one.share)} of {one.pairs}; kappa {_number(one.kappa)}")
        return found


def progress(pairs: Sequence[Labelled]) -> Progress:
    """pairs: in the order in which people answered."""
    people = Counter(by for pair in pairs for by in pair.said)
    preferred = [(pair, side) for pair in pairs if (side := majority(pair.said.values()))]
    sampled = [(pair, side) for pair, side in preferred if pair.drawn]
    right = accuracy(_for_people(sampled))
    return Progress(
        len(pairs),
        len(preferred),
        dict(sorted(people.items())),
        right,
        len(sampled),
        accuracy(_for_people([each for each in preferred if not each[0].drawn])),
        kappa([(side > 0, pair.logit > 0) for pair, side in sampled]),
        max(0, _needed(right.value) - len(sampled)) if sampled else 0,
        _curve(preferred),
        _agreements(pairs),
    )


def kappa(answers: Sequence[tuple[object, object]]) -> float:
    """Cohen's kappa (1960) of pairs of answers; NaN where there are none, or where chance alone makes two always agree."""
    n = len(answers)
    if not n:
        return math.nan
    same = sum(one == other for one, other in answers) / n
    first, second = (Counter(each[i] for each in answers) for i in (0, 1))
    by_chance = sum(first[word] * second[word] for word in first) / n**2
    return (same - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan


def _for_people(pairs: Sequence[tuple[Labelled, int]]) -> Floats:
    return np.array([pair.logit * side for pair, side in pairs])


def _needed(p: float) -> int:
    """Pairs for which Wilson's interval of a share p is at most HALF_WIDTH to each side, about; never a certain one."""
    spread = max(p * (1 - p), 0.05 * 0.95)
    return math.ceil(Z**2 * spread / HALF_WIDTH**2)


def _curve(preferred: Sequence[tuple[Labelled, int]]) -> tuple[tuple[int, Estimate], ...]:
    """Sizes with at least LEAST labels on both sides."""
    if len(preferred) < 2 * LEAST:
        return ()
    rows = np.array([pair.row * side for pair, side in preferred])
    sizes = sorted({*np.geomspace(LEAST, len(rows) - LEAST, POINTS).astype(int).tolist()})
    return tuple((size, accuracy(rows[size:] @ averaged_weights(rows[:size]))) for size in sizes)


def _agreements(pairs: Sequence[Labelled]) -> tuple[Agreement, ...]:
    found = []
    for one, other in combinations(sorted({by for pair in pairs for by in pair.said}), 2):
        both = [(pair.said[one], pair.said[other]) for pair in pairs if one in pair.said and other in pair.said]
        if both:
            found.append(Agreement(one, other, len(both), share(sum(a == b for a, b in both), len(both)), kappa(both)))
    return tuple(found)


def _percent(value: Estimate) -> str:
    return f"{value.value:.0%} ({value.low:.0%} to {value.high:.0%})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
