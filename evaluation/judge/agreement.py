"""What votes say without labels: weights from how voters agree, and whether they agree for the truth's sake.

Votes here are [pairs, voters] on a common scale, NaN where there is none. A pair may be read either way round, so all moments are
about 0, and nothing changes when a pair is turned round.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, ndtri

from evaluation.statistics import Floats

ROUNDS = 200
"""Most rounds of an iteration."""
LEAST_VARIANCE = 0.01
"""Of a vote of unit size, so that a voter that always agrees with the rest does not decide alone."""
MOST_LOADING = 0.95
"""Of a judge on the truth, for the same reason."""
LEAST_JUDGES = 3
"""Two judges' agreement does not tell which of them is the better, and one judge has none to agree with."""
COMMON = 20
"""Pairs that two judges must both have voted on, for their correlation to be looked at."""
REMARKABLE = 0.1
"""Correlation that is worth a warning, once chance is ruled out."""
CHANCE = 0.05
"""Probability of a false finding, shared among all pairs of judges."""


def independent(rows: Floats) -> tuple[Floats, float]:
    """(weights [voters], temperature), taking voters to err independently.

    Expectation maximisation for one hidden truth of two equally likely kinds, as in Dawid and Skene (1979), with soft votes:
    given the truth t = +-1, voter k's vote is normal with mean t m_k and variance s_k, so its weight is 2 m_k / s_k. The majority
    fixes the sign.

    Limits: several methods by one judge do not err independently, and an error that most voters share looks like the truth: where
    the majority is wrong, so is this (`doubts` sees it). The model would be far too sure of it; the temperature makes the panel as
    sure as its voters agree with it on average, which is modest, not calibrated.
    """
    present, votes = ~np.isnan(rows), np.nan_to_num(rows)
    majority = np.sign(votes).sum(1)
    cast = np.maximum(present.sum(0), 1)
    truth = np.sign(majority)
    weights = np.zeros(votes.shape[1])
    for _ in range(ROUNDS):
        mean = truth @ votes / cast
        spread = ((votes - np.outer(truth, mean)) ** 2 * present).sum(0) + ((1 - truth**2) @ present) * mean**2
        weights = 2 * mean / np.maximum(spread / cast, LEAST_VARIANCE)
        before, truth = truth, np.tanh(votes @ weights / 2)
        if np.abs(truth - before).max(initial=0.0) < 1e-6:
            break
    weights = weights if truth @ majority >= 0 else -weights
    return weights, _modest(votes, weights)


def by_judge(rows: Floats, judges: Sequence[str]) -> tuple[Floats, float]:
    """(weights [voters], temperature), taking judges to err independently of each other, whatever one judge's voters share.

    A vote is the truth, a factor of its judge's own, and noise. Only what judges have in common can be the truth, so a judge's
    voters are averaged first, and one factor is fitted to the correlations between judges (least squares off the diagonal, which
    holds too where some pairs are harder than others for all). A judge of loading l weighs l / (1 - l^2). The mean of the judges
    fixes the sign; the temperature is as in `independent`.
    """
    means, names = _means(rows, judges)
    correlations, common = _correlations(means)
    loadings = np.clip(_one_factor(correlations, common), -MOST_LOADING, MOST_LOADING)
    clean = np.nan_to_num(means)
    cast = np.maximum((~np.isnan(means)).sum(0), 1)
    weights = loadings / (1 - loadings**2) / np.sqrt(np.maximum((clean**2).sum(0) / cast, 1e-12))
    if (clean @ weights) @ clean.mean(1) < 0:
        weights = -weights
    voters = [names.index(judge) for judge in judges]
    return weights[voters] / np.bincount(voters)[voters], _modest(clean, weights)


class Doubts(NamedTuple):
    """Why agreement may not be about the truth; empty texts where nothing speaks for it."""

    of_voters: str
    """One judge's voters agree with each other for reasons of that judge."""
    of_judges: str
    """Some judges agree with each other for reasons that the rest does not share, or there are too few to tell."""


def doubts(rows: Floats, judges: Sequence[str]) -> Doubts:
    """What votes on any scale tell of it without labels.

    Were the truth all that two voters share, the correlations of any two would be products of one number each. Two judges that
    correlate beyond that, more than chance explains (Bonferroni's bound over all pairs of judges), share something else, and which
    of the two things is the truth no agreement can say.
    """
    means, names = _means(rows, judges)
    return Doubts(_within(rows, judges), _between(means, names))


def _within(rows: Floats, judges: Sequence[str]) -> str:
    correlations, common = _correlations(rows)
    same: list[float] = []
    other: list[float] = []
    for i, k in combinations(range(len(judges)), 2):
        if common[i, k] >= COMMON:
            (same if judges[i] == judges[k] else other).append(float(correlations[i, k]))
    if not same or (other and np.mean(same) - np.mean(other) < REMARKABLE):
        return ""
    beside = f", those of different judges {np.mean(other):.2f}" if other else ""
    return (
        f"votes of one judge correlate {np.mean(same):.2f}{beside}: what a judge's own voters share counts as truth here; "
        "agreement_by_judge takes it out"
    )


def _between(means: Floats, names: Sequence[str]) -> str:
    if len(names) < LEAST_JUDGES:
        return f"{len(names)} judge{'s' * (len(names) > 1)}, and agreement tells what a judge is worth from {LEAST_JUDGES} on"
    correlations, common = _correlations(means)
    loadings = _one_factor(correlations, common)
    beyond = np.where(common >= COMMON, correlations - np.outer(loadings, loadings), 0.0)
    np.fill_diagonal(beyond, 0.0)
    pairs = len(names) * (len(names) - 1) / 2
    i, k = divmod(int(beyond.argmax()), len(names))
    by_chance = -float(ndtri(CHANCE / 2 / pairs)) / np.sqrt(max(common[i, k], 1.0))
    if beyond[i, k] < max(REMARKABLE, by_chance):
        return ""
    return (
        f"{names[i]} and {names[k]} correlate {correlations[i, k]:.2f}, where what all judges share explains "
        f"{loadings[i] * loadings[k]:.2f}: judges share more than one thing, and agreement cannot tell which of them is the truth"
    )


def _means(rows: Floats, judges: Sequence[str]) -> tuple[Floats, list[str]]:
    """([pairs, judges] mean vote of each judge's voters, NaN where it has none; the judges' names)."""
    names = sorted(set(judges))
    present = ~np.isnan(rows)
    belongs = np.array([[judge == name for name in names] for judge in judges], dtype=float).reshape(-1, len(names))
    cast = present @ belongs
    means: Floats = np.where(cast > 0, (np.nan_to_num(rows) @ belongs) / np.maximum(cast, 1), np.nan)
    return means, names


def _correlations(rows: Floats) -> tuple[Floats, Floats]:
    """([k, k] about 0, over the pairs on which both voted; how many these are)."""
    votes, present = np.nan_to_num(rows), (~np.isnan(rows)).astype(float)
    squares = (votes**2).T @ present
    found: Floats = votes.T @ votes / np.sqrt(np.maximum(squares * squares.T, 1e-12))
    return found, present.T @ present


def _one_factor(correlations: Floats, common: Floats) -> Floats:
    """[k] loadings whose products are nearest to the correlations off the diagonal, each counted by its pairs."""
    counts = common * (1 - np.eye(len(common)))
    loadings = np.full(len(common), 0.5)
    for _ in range(ROUNDS):
        before = loadings.copy()
        for i in range(len(loadings)):
            found = (counts[i] * correlations[i]) @ loadings / max(float(counts[i] @ loadings**2), 1e-12)
            loadings[i] = np.clip(found, -1.0, 1.0)
        if np.abs(loadings - before).max(initial=0.0) < 1e-6:
            break
    return loadings


def _modest(votes: Floats, weights: Floats) -> float:
    """The divisor with which the panel's mean confidence is the share of votes on the panel's side, each by its weight's sign."""
    logits = votes @ weights
    sided = (np.sign(logits)[:, None] * votes * np.sign(weights)).ravel()
    agreed = float((sided > 0).sum() / max(1, (sided != 0).sum()))

    def off(log_t: float) -> float:
        return abs(float(expit(np.abs(logits) / np.exp(log_t)).mean()) - agreed)

    return float(np.exp(minimize_scalar(off, bounds=(-4, 10), method="bounded").x))
