"""What becomes of labelled pairs under each defence against attacking responses: arithmetic on votes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit

from constitution.principles import Constitution
from constitution.records import Failure, Response, Vote
from critics.ranking.aggregate import score
from critics.text.manipulation import indicators_of
from evaluation.attack.suite import CONTROL
from evaluation.judge.labelled import LabelledPair
from evaluation.statistics import share


class Defence(NamedTuple):
    """Which defences are on."""

    nonce: bool = False
    """Delimiters carry a nonce."""
    orders: Literal["one", "both", "abstain"] = "one"
    """one: a single order, drawn at random. both: asked in both, the bias cancels. abstain: also, a voter that chooses the same
    position twice is not counted."""
    indicators: bool = False
    """A pair in which a response is flagged gets no label: such a response is compared with nothing."""


DEFENCES: dict[str, Defence] = {
    "none": Defence(),
    "nonce": Defence(nonce=True),
    "both orders": Defence(orders="both"),
    "abstain": Defence(orders="abstain"),
    "indicators": Defence(indicators=True),
    "default": Defence(nonce=True, orders="both"),
    "all": Defence(nonce=True, orders="abstain", indicators=True),
}
"""Configurations that are compared; `default` is that of a run whose settings say nothing."""


class Figures(NamedTuple):
    """A rate in numbers, shares of its pairs."""

    pairs: int
    won: float
    low: float
    """Of Wilson's 95% interval of `won`."""
    high: float
    unlabelled: float


@dataclass(slots=True)
class Rate:
    """What became of some pairs."""

    pairs: int = 0
    won: float = 0.0
    """Pairs whose label is the attacking response."""
    unlabelled: float = 0.0

    def add(self, won: float, unlabelled: float) -> None:
        """One pair more."""
        self.pairs += 1
        self.won += won
        self.unlabelled += unlabelled

    @property
    def figures(self) -> Figures:
        """As shares, with an interval."""
        won = share(self.won, self.pairs)
        return Figures(self.pairs, won.value, won.low, won.high, self.unlabelled / max(1, self.pairs))


class Gain(NamedTuple):
    """A mean with its 95% interval (Student's t)."""

    mean: float
    low: float
    high: float


Rates = dict[str, dict[str, Rate]]
"""Attack -> defence -> rate."""


def rates(
    pairs: Sequence[LabelledPair], records: Mapping[bool, Sequence[Vote | Failure]], constitution: Constitution
) -> tuple[Rates, dict[str, int]]:
    """(rates by the pairs' subset, failures by reason) from the records with the nonce (True) and without (False)."""
    votes: defaultdict[tuple[bool, str], list[Vote]] = defaultdict(list)
    failures: Counter[str] = Counter()
    for nonce, found in records.items():
        for record in found:
            if isinstance(record, Vote):
                votes[nonce, record.prompt_id].append(record)
            else:
                failures[record.reason] += 1
    result: Rates = {pair.subset: {name: Rate() for name in DEFENCES} for pair in pairs}
    for pair in pairs:
        any_flagged = flagged(pair, pair.better) or flagged(pair, pair.worse)
        for name, defence in DEFENCES.items():
            result[pair.subset][name].add(*outcome(votes[defence.nonce, pair.id], defence, any_flagged, constitution))
    return result, dict(failures)


def outcome(
    votes: Sequence[Vote], defence: Defence, any_flagged: bool, constitution: Constitution
) -> tuple[float, float]:
    """(how far b, the attacking response, wins; how far there is no label), each 0, 1/2 or 1.

    Halves come from a single order: which response is listed first is chance, so each order counts by half.
    """
    if defence.indicators and any_flagged:
        return 0.0, 1.0
    first = [replace(vote, logit_ba=-vote.logit_ab) for vote in votes]
    second = [replace(vote, logit_ab=-vote.logit_ba) for vote in votes]
    readings = [first, second] if defence.orders == "one" else [votes]
    won = unlabelled = 0
    for reading in readings:
        found = score(reading, constitution, position_inconsistent="drop" if defence.orders == "abstain" else "keep")
        if found.undecided or found.logit == 0:
            unlabelled += 1
        else:
            won += found.logit < 0
    return won / len(readings), unlabelled / len(readings)


def flagged(pair: LabelledPair, response: Response) -> bool:
    """Whether a response is flagged, as a run sees it."""
    return bool(indicators_of(pair.prompt, response.message))


def flag_rates(pairs: Sequence[LabelledPair]) -> dict[str, Rate]:
    """Subset -> attacking responses that are flagged, as `won`."""
    result: defaultdict[str, Rate] = defaultdict(Rate)
    for pair in pairs:
        result[pair.subset].add(flagged(pair, pair.worse), 0)
    return dict(result)


def gains(
    pairs: Sequence[LabelledPair], records: Sequence[Vote | Failure], constitution: Constitution
) -> dict[str, Gain]:
    """Subset -> log-odds that a bad response gains, free of position bias, against the same response left alone.

    It tells of an attack what a win rate does not where the judge chooses by position, or is always right or always wrong.
    """
    votes: defaultdict[str, list[Vote]] = defaultdict(list)
    for record in records:
        if isinstance(record, Vote):
            votes[record.prompt_id].append(record)
    logits = {name: score(cast, constitution).logit for name, cast in votes.items()}
    alone = {pair.group: logits[pair.id] for pair in pairs if pair.subset == CONTROL and pair.id in logits}
    found: defaultdict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        if pair.subset != CONTROL and pair.id in logits and pair.group in alone:
            found[pair.subset].append(alone[pair.group] - logits[pair.id])
    return {attack: _mean(values) for attack, values in found.items()}


def _mean(values: Sequence[float]) -> Gain:
    middle = float(np.mean(values))
    half = (
        float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(len(values)))
        if len(values) > 1
        else float("inf")
    )
    return Gain(middle, middle - half, middle + half)
