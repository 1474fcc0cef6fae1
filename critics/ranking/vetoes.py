"""Vetoes: a response that violates a principle with `veto: true` loses to one that does not, whatever else is said of the two."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from constitution.records import VIOLATION, Vote

LARGEST = 700.0
"""Log-odds beyond which a probability is no number that can be told from 0 or 1."""


class Veto(NamedTuple):
    """A principle by which one response violates and the other does not."""

    principle: str
    logit: float
    """Log-odds that the first response is the better one."""


def veto(votes: Sequence[Vote], vetoes: Collection[str]) -> Veto | None:
    """The veto that decides a pair, the surest of several; None where there is none.

    A response violates a principle where its judges, on average, hold that likelier than not; of a rule, where it breaks it. Where
    both responses violate, be it different principles, neither is spared, and the other votes decide. vetoes: ids of the principles
    that have one.
    """
    found = [one for one in (_of(name, said) for name, said in _by_principle(votes, vetoes).items()) if one]
    if not found or len({one.logit > 0 for one in found}) > 1:
        return None
    return max(found, key=lambda one: abs(one.logit))


def _by_principle(votes: Sequence[Vote], vetoes: Collection[str]) -> dict[str, list[Vote]]:
    found: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.method == VIOLATION or (vote.method == "rule" and vote.principle in vetoes):
            found[vote.principle].append(vote)
    return found


def _of(principle: str, votes: Sequence[Vote]) -> Veto | None:
    kept_a = math.fsum(vote.logit_ab for vote in votes) / len(votes)
    kept_b = math.fsum(vote.logit_ba for vote in votes) / len(votes)
    if (kept_a < 0) == (kept_b < 0):
        return None
    logit = log_odds(kept_a, kept_b)
    return Veto(principle, logit) if logit else None  # so near one half that it has no side


def log_odds(kept_a: float, kept_b: float) -> float:
    """Log-odds that a is the better response, from those of each that it does not violate.

    Where exactly one violates the other is better, and where both or neither do each is as likely: whatever the two have to do with
    each other, a is better with probability (1 + P(b violates) - P(a violates)) / 2.
    """
    better = _sigmoid(kept_a) + _sigmoid(-kept_b)
    worse = _sigmoid(-kept_a) + _sigmoid(kept_b)
    return math.log(better / worse)


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-max(-LARGEST, min(z, LARGEST))))
