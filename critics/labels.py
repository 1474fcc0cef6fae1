"""Log-probabilities of a judge's one-token answers, read as a number or as the reason why there is none.

Where a server lists only its likeliest tokens, a label may be missing from the list. Its probability then has an upper bound, and
what is read is as sure as that bound allows and no surer: a censored observation (Tobin 1958), not a missing one. Leaving such
answers out would leave out the surest ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from critics.spelling import SINGLE

MIN_MASS = 1e-3
"""Least probability the labels must hold together where each one's own token was asked for; below it the judge answered something
else. Weak judges put most of theirs on other words, and what is left still tells the labels apart."""
MIN_LISTED_MASS = 0.03
"""The same where labels are found by their spelling in a server's list, whose other entries are other words. What holds less there
may as well be the start of another answer ("A" of "A good reply", "No" of "No idea"). Of 88 votes of a weak judge, by lists of 20,
0.1 leaves out 50, and 0.01 adds none to those of 0.03 that take a side (benchmarks/judging_forms.py)."""
MAX_LOG_ODDS = -math.log(SINGLE)
"""16.6: the surest that a probability of single precision can be without being 1. Beyond it is no evidence, and one such vote would
outweigh all others."""

MISSING, NOT_FINITE, OFF_MENU = "verdict_missing", "verdict_nan", "verdict_off_menu"
"""Reasons why there is no verdict: a label has no log-probability, it is not finite, the labels together hold too little."""


class Reading(NamedTuple):
    """What was read off an answer."""

    value: float
    censored: bool = False
    """A label was not listed."""
    bounds: tuple[float, float] | None = None
    """What the value may be as far as the list tells, where a label's bound alone decides it; None where it is the value."""

    @property
    def range(self) -> tuple[float, float]:
        """Least and most."""
        return self.bounds or (self.value, self.value)

    def turned(self) -> Reading:
        """Of the other label."""
        low, high = self.range
        return Reading(-self.value, self.censored, (-high, -low) if self.bounds else None)


def nearest(one: Reading, other: Reading) -> tuple[float, float]:
    """Values of the two, within what is known of them, that differ least: no difference is larger than what the lists show.

    Two bounds on one side ("at least 3" and "at least 5") show no difference at all, whatever their numbers.
    """
    (low, high), (least, most) = one.range, other.range
    if low > most:
        return low, most
    if high < least:
        return high, least
    # they may be equal: at the number in both ranges that is nearest to what was read
    common = min(max((one.value + other.value) / 2, low, least), high, most)
    return common, common


class Shares(NamedTuple):
    """Each label's share of what the labels hold together."""

    shares: list[float]
    censored: bool
    """Some label has its share by a bound."""


def probabilities(logprobs: Mapping[str, float], labels: Sequence[str], floor: float | None = None) -> Shares | str:
    """Each label's share of what the labels hold together, or the reason why there is no verdict.

    floor: as `Completion.floor`. A label that is not listed gets the share of its bound, as far as what the others leave over
    suffices. That is more than it has, and so keeps from certainty.
    """
    listed = {label: logprobs[label] for label in labels if label in logprobs}
    missing = [label for label in labels if label not in listed]
    if floor is None and missing:
        return MISSING
    if not all(map(math.isfinite, listed.values())):
        return NOT_FINITE
    mass = math.fsum(map(math.exp, listed.values()))
    if mass < (MIN_MASS if floor is None else MIN_LISTED_MASS):
        return OFF_MENU
    if missing and floor is not None:
        bound = min(math.exp(floor), max(1 - mass, SINGLE) / len(missing))
        listed |= dict.fromkeys(missing, math.log(bound))
    top = max(listed.values())
    shares = [math.exp(listed[label] - top) for label in labels]
    total = math.fsum(shares)
    return Shares([share / total for share in shares], bool(missing))


def log_odds(logprobs: Mapping[str, float], labels: tuple[str, str], floor: float | None = None) -> Reading | str:
    """Log-odds of the first label over the second, or the reason why there is no verdict.

    With one label outside the list: the least by which the other is ahead, 0 where the list does not tell even that.
    """
    found = probabilities(logprobs, labels, floor)
    if isinstance(found, str):
        return found
    first, second = (logprobs.get(label, floor) for label in labels)
    assert first is not None
    assert second is not None
    z = _capped(first - second)
    if not found.censored:
        return Reading(z, abs(first - second) > MAX_LOG_ODDS)
    bounds = (z, math.inf) if labels[0] in logprobs else (-math.inf, z)
    return Reading(min(max(0.0, bounds[0]), bounds[1]), True, bounds)


def _capped(z: float) -> float:
    return max(-MAX_LOG_ODDS, min(z, MAX_LOG_ODDS))


def clamped(z: float, low: float, high: float) -> float:
    """Log-odds whose probability is kept within [low, high]."""
    return min(max(z, math.log(low / (1 - low))), math.log(high / (1 - high)))


def within(found: Reading, low: float, high: float) -> Reading:
    """A reading whose probability, and what it may be, is kept within [low, high]."""
    least, most = (clamped(z, low, high) for z in found.range)
    return Reading(clamped(found.value, low, high), found.censored, (least, most) if found.bounds else None)
