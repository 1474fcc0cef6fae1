"""In which order people look at pairs: by what a label would tell of all the others, and some at random.

The panel is a logistic regression on its voters' votes (evaluation/judge/fitting.py). A label of pair i, which is right with
probability p_i, lessens the variance of pair j's log-odds by q_i K_ij^2 / (1 + q_i v_i), with q = p (1 - p), K the covariance of
the pairs' log-odds given the labels so far, and v_i = K_ii. What a label tells is the sum of that over the pairs, each counted by
q_j: a log-odds that is far from 0 has its label already. (Experimental design for a logistic model: Chaloner and Verdinelli 1995;
about a given set of pairs: Yu, Bi and Tresp 2006.) It is much for a pair near one half on which voters disagree, and little for one
whose like is labelled. Every fourth pair is drawn at random instead: only those say how often the panel is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evaluation.judge.fitting import averaged_weights, scale_of
from evaluation.statistics import Floats

DRAWN = 0.25
"""Share of the pairs that are a random sample, and of the places in the queue that these have."""
EVERY = round(1 / DRAWN)
PENALTY = 32.0
"""Of the weights, in the covariance: the heaviest of the fit's. Chosen with the rule on half of the recorded votes about LLMBar and
JudgeBench (benchmarks/review_queue.py)."""
MOST_PAIRS = 2_000
"""Pairs that the rule looks at, and is about: of more, those nearest to one half and others evenly spread."""


def scaled(votes: Floats) -> Floats:
    """[pairs, voters] votes of unit size, 0 for none, as the fit has them."""
    rows: Floats = np.nan_to_num(votes) / scale_of(votes) if votes.size else np.zeros(votes.shape)
    return rows


def tells(rows: Floats, labels: Mapping[int, int], among: Sequence[int]) -> Floats:
    """[among] what a label of each of these pairs would tell; pairs beyond the MOST_PAIRS that are looked at tell nothing.

    rows: [pairs, voters] scaled votes for the first response. labels: number of a pair -> 1 where its first response is the better,
    -1 where its second is. Nothing changes when a pair is turned round.
    """
    known = rows[[*labels]] * np.array([*labels.values()], dtype=float)[:, None]
    voters = rows.shape[1]
    weights = averaged_weights(known) if len(known) else np.full(voters, 1 / max(1, voters))
    precision = PENALTY * np.eye(voters) + (known * _uncertain(known @ weights)[:, None]).T @ known
    places = np.asarray(among, dtype=int)
    found = np.zeros(len(places))
    q = _uncertain(rows[places] @ weights)
    looked = _nearest(q)
    some = _evenly(len(rows))
    spread = np.linalg.solve(precision, rows[places[looked]].T)
    shared = rows[some] @ spread
    own = np.einsum("ij,ji->i", rows[places[looked]], spread)
    found[looked] = _uncertain(rows[some] @ weights) @ shared**2 * q[looked] / (1 + q[looked] * own)
    return found


def next_pairs(
    rows: Floats,
    labels: Mapping[int, int],
    drawn: Floats,
    answered: Collection[int],
    anybody: Collection[int],
    count: int,
) -> list[int]:
    """Numbers of the pairs that one person looks at next, `count` of them or all that are left.

    drawn: [pairs] a number of each, evenly spread over [0, 1]; those below DRAWN are the random sample, in its order. answered:
    pairs that the person answered. anybody: pairs that anybody did. The sample is everybody's, so that it says how far people
    agree; other pairs have one person, until none is left.
    """
    waiting = [i for i in np.argsort(drawn, kind="stable").tolist() if i not in answered]
    at_random = [i for i in waiting if drawn[i] < DRAWN]
    fresh = [i for i in waiting if drawn[i] >= DRAWN and i not in anybody]
    others = fresh or [i for i in waiting if drawn[i] >= DRAWN]
    best = [others[i] for i in np.argsort(-tells(rows, labels, others), kind="stable")[:count]]
    found: list[int] = []
    for place in range(len(answered), len(answered) + count):
        first, other = (at_random, best) if place % EVERY == EVERY - 1 else (best, at_random)
        if not (first or other):
            break
        found.append((first or other).pop(0))
    return found


def majority(said: Collection[str]) -> int:
    """1 where more people prefer a, -1 where more prefer b, 0 where neither."""
    return int(np.sign(sum(one == "a" for one in said) - sum(one == "b" for one in said)))


def _uncertain(logits: Floats) -> Floats:
    p = expit(logits)
    found: Floats = p * (1 - p)
    return found


def _nearest(q: Floats) -> NDArray[np.intp]:
    """At most MOST_PAIRS places: half are the most uncertain ones, half are evenly spread."""
    if len(q) <= MOST_PAIRS:
        return np.arange(len(q))
    half = MOST_PAIRS // 2
    return np.union1d(np.argpartition(-q, half)[:half], _evenly(len(q))[::2])


def _evenly(count: int) -> NDArray[np.intp]:
    """At most MOST_PAIRS places, evenly spread over so many."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_PAIRS)).astype(np.intp))
