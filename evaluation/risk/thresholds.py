"""The least certainty at which labels are accepted, so that at most a stated share of the accepted ones is wrong.

Both rules take log-odds for the better response of labelled pairs: a pair is accepted where the absolute value reaches the
threshold, and wrong where it is negative. They promise nothing of pairs of another kind than the labelled ones.

`on_average` is conformal selection (Jin and Candes 2023, arXiv:2210.01408; conformal risk control, Angelopoulos et al. 2024,
arXiv:2208.02814, for the loss "accepted and wrong"): over the draw of the labelled pairs and of the run, the expected share of
wrong labels among the accepted ones is at most the stated error, where a run that accepts nothing counts as 0. The share of pairs
that is accepted is taken from the labelled pairs; with the true share the bound is exact.

`with_confidence` is learn-then-test (Angelopoulos et al. 2022, arXiv:2110.01052): thresholds are tested in a fixed sequence, each
looser than the one before, by a binomial test until one is not shown to keep the error. With the stated probability over the draw
of the labelled pairs the accepted share that is wrong, in the long run, is at most the stated error. By the exact test that always
holds. By the mid-p test (Lancaster 1961), which accepts more, the probability is about the stated one: 90% was at least 89% in
simulated panels, calibrated or not, and is 81% at worst, where every pair is wrong as often as is just too often.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are first used
from numpy.typing import NDArray

from critics.ranking.kinds import Test
from evaluation.statistics import Floats, nll

SCALES = (-3.0, 3.0)
"""Logarithms of the least and the largest divisor of a step's log-odds."""
STEPS = 40
"""Thresholds of a fixed sequence that would accept all pairs."""
ALIKE = 0.02
"""Chances to pass the first test that are taken for equal; the strictest of such thresholds is tested first."""


class Threshold(NamedTuple):
    """Where labels begin to be accepted, and the labelled pairs that it rests on."""

    least: float | None
    """The least absolute log-odds that is accepted; None where these labels can show it of no label."""
    accepted: int
    """Labelled pairs that it accepts."""
    wrong: int
    """Of those, wrong ones."""


class Ranked(NamedTuple):
    """Labelled pairs, the surest first, where a threshold can stand: pairs that are equally sure stand together."""

    least: Floats
    """[thresholds] falling absolute log-odds, all above 0."""
    accepted: NDArray[np.int64]
    """[thresholds] pairs that are at least so sure."""
    wrong: NDArray[np.int64]
    """[thresholds] of those, wrong ones."""
    expected: Floats
    """[thresholds] wrong ones that the log-odds themselves expect."""
    pairs: int
    """All of them."""


def labels_by(logits: Floats, least: float | None) -> Floats:
    """[pairs] the log-odds of the first step of a cascade that is so sure; 0 where none is. logits: [pairs, steps] on one scale."""
    enough = np.abs(logits) >= (np.inf if least is None else least)
    said: Floats = np.where(enough.any(1), logits[np.arange(len(logits)), enough.argmax(1)], 0.0)
    return said


def threshold(logits: Floats, error: float, confidence: float | None, test: Test = "mid-p") -> Threshold:
    """By the rule that is asked for: on average where there is no confidence."""
    return loosest(rank(logits), error, confidence, test)


def loosest(ranked: Ranked, error: float, confidence: float | None, test: Test = "mid-p") -> Threshold:
    """As `threshold`, of pairs that are ranked already."""
    return on_average(ranked, error) if confidence is None else with_confidence(ranked, error, confidence, test)


def on_average(ranked: Ranked, error: float) -> Threshold:
    """The loosest threshold at which (wrong + 1) / (accepted + 1) is at most the error."""
    kept = np.flatnonzero(ranked.wrong + 1 <= error * (ranked.accepted + 1))
    return _at(ranked, int(kept[-1]) if len(kept) else None)


def with_confidence(ranked: Ranked, error: float, confidence: float, test: Test = "mid-p") -> Threshold:
    """The loosest threshold that fixed-sequence testing reaches.

    Where it starts depends on no label: where the panel, as sure as it says, is likeliest to pass. It goes on by steps that accept
    a fortieth of the pairs more.
    """
    allowed = most_wrong(ranked.pairs, error, confidence, test)[ranked.accepted]
    place = None
    for step in _sequence(ranked, allowed):
        if ranked.wrong[step] > allowed[step]:
            break
        place = step
    return _at(ranked, place)


def _sequence(ranked: Ranked, allowed: NDArray[np.int64]) -> list[int]:
    """Places of the thresholds to test; none where no number of wrong pairs would pass."""
    if not (allowed >= 0).any():
        return []
    passing = np.where(allowed >= 0, scipy.special.pdtr(np.maximum(allowed, 0), ranked.expected), 0.0)
    first, last = int(ranked.accepted[np.argmax(passing >= passing.max() - ALIKE)]), int(ranked.accepted[-1])
    wanted = np.linspace(first, last, 1 + math.ceil(STEPS * (last - first) / ranked.pairs))
    return sorted(set(np.searchsorted(ranked.accepted, np.floor(wanted)).tolist()))


def rank(logits: Floats) -> Ranked:
    """logits: [pairs] for the better response; 0 and NaN are ties, which have no label to accept."""
    clean = np.nan_to_num(logits)
    ordered = clean[np.argsort(-np.abs(clean), kind="stable")]
    ordered = ordered[ordered != 0]
    sure = np.abs(ordered)
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True)) if len(sure) else np.array([], dtype=int)
    expected = np.cumsum(scipy.special.expit(-sure))[last]
    return Ranked(sure[last], last + 1, np.cumsum(ordered < 0)[last], expected, len(clean))


def rank_steps(logits: Floats) -> Ranked:
    """logits: [pairs, steps of a cascade] on one scale. At a threshold, a pair has the label of the first step that is so sure."""
    if logits.shape[1] == 1:
        return rank(logits[:, 0])
    clean = np.nan_to_num(logits)
    sure = np.abs(clean)
    levels = np.unique(sure[sure > 0])[::-1]
    accepted, wrong = np.zeros(len(levels), dtype=np.int64), np.zeros(len(levels), dtype=np.int64)
    expected = np.zeros(len(levels))
    for place, least in enumerate(levels):
        said = labels_by(clean, least)
        said = said[said != 0]
        accepted[place], wrong[place] = len(said), (said < 0).sum()
        expected[place] = scipy.special.expit(-np.abs(said)).sum()
    return Ranked(levels, accepted, wrong, expected, len(clean))


def step_scales(logits: Floats) -> Floats:
    """[steps] what the log-odds of each step are divided by to be as sure as they are right; 1 where there is one step."""
    if logits.shape[1] == 1:
        return np.ones(1)
    return np.array([_temperature(logits[:, step]) for step in range(logits.shape[1])])


def _temperature(logits: Floats) -> float:
    found = scipy.optimize.minimize_scalar(lambda log_t: nll(logits / np.exp(log_t)), bounds=SCALES, method="bounded")
    return float(np.exp(found.x))


def least_labels(error: float, confidence: float, test: Test = "mid-p") -> int:
    """The fewest accepted labels, all of them right, that show the error with this confidence."""
    doubt = (1 - confidence) * (1 if test == "exact" else 2)
    return max(1, math.ceil(math.log(doubt) / math.log(1 - error) - 1e-9))


@cache
def most_wrong(pairs: int, error: float, confidence: float, test: Test = "mid-p") -> NDArray[np.int64]:
    """[0..pairs] accepted -> the most wrong ones that still show the error with this confidence; -1 where none do."""
    accepted = np.arange(1, pairs + 1)
    found = np.full(pairs + 1, -1)
    for wrong in range(pairs + 1):
        p = scipy.special.bdtr(np.minimum(wrong, accepted), accepted, error)
        if test == "mid-p":
            below = (
                scipy.special.bdtr(np.maximum(np.minimum(wrong, accepted) - 1, 0), accepted, error) if wrong else 0.0
            )
            p = (p + below) / 2
        enough = (accepted > wrong) & (p <= 1 - confidence + 1e-12)
        if not enough.any():
            break
        found[1:][enough] = wrong
    found.flags.writeable = False
    return found


def upper(wrong: int, of: int, confidence: float) -> float:
    """Clopper and Pearson's upper bound (1934) of the share that is wrong."""
    return 1.0 if wrong >= of else float(scipy.special.betaincinv(wrong + 1, of - wrong, confidence))


def _at(ranked: Ranked, place: int | None) -> Threshold:
    if place is None:
        return Threshold(None, 0, 0)
    return Threshold(float(ranked.least[place]), int(ranked.accepted[place]), int(ranked.wrong[place]))
