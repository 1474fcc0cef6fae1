"""Weights for voters from pairs, by labels or by how voters agree, and the order in which voters are best asked.

A row is a pair's votes for the better response. Read the other way round it is the negated row with the negated label, which has
the same likelihood when there is no intercept: so each pair is one row, and no order can be learnt. (Stacking: Wolpert 1992.
Temperature: Guo et al. 2017, arXiv:1706.04599.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.covariance import ledoit_wolf
from sklearn.model_selection import GroupKFold

from critics.ranking.kinds import Method
from critics.ranking.weights import Stopping
from evaluation.judge import agreement
from evaluation.statistics import Floats, nll

PENALTIES = (32.0, 8.0, 2.0)
"""L2 penalties over whose fits the weights are averaged, for votes scaled to unit size; the heaviest first.

Not one that cross-validation chooses: some hundred pairs hardly tell penalties apart, and what luck then chooses costs more than
the average. Chosen with the scale by the likelihood on development folds of six recorded panels (5 to 58 voters, 158 to 491 pairs);
choice by the marginal likelihood, by the one-standard-error rule, and a prior common to each judge's voters did no better.
"""
TINY = 1e-8
"""A gradient, of log-likelihood by weight, that is none."""
LARGE = 0.9
"""Quantile of the sizes of a voter's votes that counts as its large votes."""
INNER_FOLDS = 5
REPEATS = 3
"""Cuts into inner folds, so that the temperature does not hang on one cut of few pairs."""
LEAST_GROUPS = 10
"""Fewer prompts than this are too few to fit on."""
ROUNDS = 200
"""Most steps of Newton's method."""


class Fit(NamedTuple):
    """Weights for raw votes, before the temperature divides them."""

    weights: Floats
    """[voters]"""
    temperature: float = 1.0

    def logits(self, votes: Floats) -> Floats:
        """[pairs] from votes [pairs, voters]; a missing vote (NaN) says nothing."""
        logits: Floats = np.nan_to_num(votes) @ self.weights / self.temperature
        return logits


Fitter = Callable[[Floats, Sequence[str]], Fit]
"""(votes [pairs, voters] for the better response, groups [pairs]) -> Fit. Pairs of one group (one prompt) stay together."""


def fitter(method: Method, weights: Floats, seed: int = 0, judges: Sequence[str] = ()) -> Fitter:
    """The function for a method. weights: [voters] those that `temperature` keeps. judges: of each voter, for
    `agreement_by_judge`."""
    functions: dict[Method, Fitter] = {
        "logistic": partial(fit_logistic, seed=seed),
        "temperature": partial(fit_temperature, weights=weights),
        "agreement": fit_agreement,
        "agreement_by_judge": partial(fit_agreement_by_judge, judges=judges),
    }
    return functions[method]


def fit_logistic(votes: Floats, groups: Sequence[str], seed: int = 0) -> Fit:
    """L2 logistic regression, averaged over penalties; the temperature is from cross-validation inside these pairs."""
    scale = scale_of(votes)
    rows = np.nan_to_num(votes) / scale
    cuts = (folds(groups, INNER_FOLDS, seed + repeat) for repeat in range(REPEATS))
    held_out = np.concatenate([_held_out(rows, cut) for cut in cuts])
    return Fit(averaged_weights(rows) / scale, _temperature(held_out))


def fit_temperature(votes: Floats, groups: Sequence[str], weights: Floats) -> Fit:
    """The given weights; only how sure their sum is, is learnt."""
    return Fit(weights, _temperature(np.nan_to_num(votes) @ weights))


def fit_agreement(votes: Floats, groups: Sequence[str] = ()) -> Fit:
    """Weights without a label, from how voters agree (`agreement.independent`)."""
    scale = scale_of(votes)
    weights, temperature = agreement.independent(votes / scale)
    return Fit(weights / scale, temperature)


def fit_agreement_by_judge(votes: Floats, groups: Sequence[str] = (), judges: Sequence[str] = ()) -> Fit:
    """Weights without a label, from how judges agree (`agreement.by_judge`). judges: of each voter; left out, each is its own."""
    scale = scale_of(votes)
    names = judges or [str(k) for k in range(votes.shape[1])]
    weights, temperature = agreement.by_judge(votes / scale, names)
    return Fit(weights / scale, temperature)


def stopping(votes: Floats, fitted: Fit, voters: Sequence[str]) -> Stopping:
    """In which order to ask, and what is known of the full logit after each vote.

    The order is greedy: next comes the voter that leaves the least variance of the full logit, given those asked. The covariance
    of the votes is shrunk (Ledoit and Wolf 2004), since there are few labelled pairs.
    """
    scale = scale_of(votes)
    covariance = ledoit_wolf(np.nan_to_num(votes) / scale, assume_centered=True)[0] + 1e-9 * np.eye(len(voters))
    with_logit = covariance @ (fitted.weights * scale / fitted.temperature)
    total = float(fitted.weights * scale / fitted.temperature @ with_logit)
    # what the votes asked so far leave open: of each other vote, and of its covariance with the logit
    left, open_logit = covariance.copy(), with_logit.copy()
    asked: list[int] = []
    rows: list[tuple[float, ...]] = []
    spread: list[float] = []
    for _ in voters:
        gain = open_logit**2 / np.maximum(np.diag(left), 1e-12)
        gain[asked] = -1.0
        k = int(np.argmax(gain))
        asked.append(k)
        column = left[:, k] / max(left[k, k], 1e-12)
        open_logit = open_logit - column * open_logit[k]
        left = left - np.outer(column, left[k])
        coefficients = np.linalg.solve(covariance[np.ix_(asked, asked)], with_logit[asked])
        rows.append(tuple(float(c) for c in coefficients / scale[asked]))
        spread.append(float(np.sqrt(max(total - coefficients @ with_logit[asked], 1e-12))))
    return Stopping(order=tuple(voters[k] for k in asked), coefficients=tuple(rows), spread=tuple(spread))


def folds(groups: Sequence[str], count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """(train, test) places of each fold; a group is on one side."""
    splitter = GroupKFold(min(count, len(set(groups))), shuffle=True, random_state=seed)
    return [(a.tolist(), b.tolist()) for a, b in splitter.split(np.zeros(len(groups)), groups=list(groups))]


def scale_of(votes: Floats) -> Floats:
    """[voters] how large each voter's votes are; 1 for a voter that never says anything.

    Judging methods differ in size by orders of magnitude, so one penalty needs one scale. It is half-way, geometrically, between
    the size of a voter's large votes and its root mean square over all pairs: by the first alone, one penalty would be heavy for a
    rule that seldom speaks; by the second, a voter that is often torn would be scaled up for it.
    """
    sizes = np.abs(np.where(votes == 0, np.nan, votes))
    spoke = ~np.isnan(sizes).all(0)
    scale = np.ones(votes.shape[1])
    large = np.nanquantile(sizes[:, spoke], LARGE, axis=0)
    scale[spoke] = np.sqrt(large * np.sqrt((np.nan_to_num(votes[:, spoke]) ** 2).mean(0)))
    return scale


def averaged_weights(rows: Floats) -> Floats:
    """[voters] the mean over PENALTIES of the most likely weights; each fit starts from the one before."""
    fits: list[Floats] = []
    for penalty in PENALTIES:
        fits.append(most_likely(rows, penalty, fits[-1] if fits else None))
    weights: Floats = np.mean(fits, axis=0)
    return weights


def most_likely(rows: Floats, penalty: float, weights: Floats | None = None) -> Floats:
    """[voters] the weights under which votes [pairs, voters] for the better response are most likely, with an L2 penalty.

    Newton's method with step halving; the loss is convex, and the penalty makes it strictly so. weights: where to start.
    """

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0, -rows @ weights).sum() + penalty / 2 * weights @ weights)

    weights = np.zeros(rows.shape[1]) if weights is None else weights
    now = loss(weights)
    for _ in range(ROUNDS):
        wrong = expit(-rows @ weights)
        gradient = rows.T @ wrong - penalty * weights
        if np.abs(gradient).max(initial=0.0) < TINY:
            break
        curvature = (rows * (wrong * (1 - wrong))[:, None]).T @ rows + penalty * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(weights + step)) > now + TINY and np.abs(step).max() > TINY:
            step = step / 2
        weights, now = weights + step, after
    return weights


def _held_out(rows: Floats, cut: Sequence[tuple[list[int], list[int]]]) -> Floats:
    logits = np.zeros(len(rows))
    for train, test in cut:
        logits[test] = rows[test] @ averaged_weights(rows[train])
    return logits


def _temperature(logits: Floats) -> float:
    """The divisor that makes the labels most likely."""
    found = minimize_scalar(lambda log_t: nll(logits / np.exp(log_t)), bounds=(-4, 6), method="bounded")
    return float(np.exp(found.x))
