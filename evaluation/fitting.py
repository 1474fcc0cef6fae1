"""Weights for voters from labelled pairs: stacking by L2 logistic regression that is antisymmetric in the pair.

A row is a pair's votes for the better reply. Read the other way round it is the negated row with the negated label, which has
the same likelihood when there is no intercept: so each pair is one row, and no order can be learnt. (Stacking: Wolpert 1992.
Temperature: Guo et al. 2017, arXiv:1706.04599.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from critics.weights import Stopping
from evaluation.measures import Floats, nll

PENALTIES = np.logspace(-1, 4, 16)
"""L2 penalties (1 / C) that cross-validation chooses from, for votes scaled to unit root mean square."""

INNER_FOLDS = 5


class Fit(NamedTuple):
    """Weights for raw votes, before the temperature divides them."""

    weights: Floats
    """[voters]"""
    temperature: float
    penalty: float

    def logits(self, votes: Floats) -> Floats:
        """[pairs] from votes [pairs, voters]; a missing vote (NaN) says nothing."""
        logits: Floats = np.nan_to_num(votes) @ self.weights / self.temperature
        return logits


def fit(votes: Floats, groups: Sequence[str], seed: int = 0) -> Fit:
    """Weights, penalty and temperature; the latter two from cross-validation inside these pairs.

    votes: [pairs, voters] log-odds for the better reply, NaN where missing. groups: [pairs].
    """
    scale = _scale(votes)
    rows = np.nan_to_num(votes) / scale
    folds = list(_folds(groups, INNER_FOLDS, seed))
    held_out = [_held_out(rows, folds, penalty) for penalty in PENALTIES]
    best = min(range(len(PENALTIES)), key=lambda i: nll(held_out[i] / _temperature(held_out[i])))
    penalty = float(PENALTIES[best])
    return Fit(_weights(rows, penalty) / scale, _temperature(held_out[best]), penalty)


def cross_validated(
    votes: Floats, groups: Sequence[str], folds: int = 10, seed: int = 0, fitted: Callable[[Floats, Sequence[str]], Fit] = fit
) -> Floats:
    """[pairs] logits for the better reply, each from a fit that saw no pair of its group."""
    logits = np.zeros(len(votes))
    for train, test in _folds(groups, folds, seed):
        logits[test] = fitted(votes[train], [groups[i] for i in train]).logits(votes[test])
    return logits


def calibrated(logits: Floats, groups: Sequence[str], folds: int = 10, seed: int = 0) -> Floats:
    """Logits of fixed weights, each divided by a temperature found on the other folds."""
    result = np.zeros(len(logits))
    for train, test in _folds(groups, folds, seed):
        result[test] = logits[test] / _temperature(logits[train])
    return result


def stopping(votes: Floats, fitted: Fit, voters: Sequence[str]) -> Stopping:
    """In which order to ask, and what is known of the full logit after each vote.

    The order is greedy: next comes the voter that leaves the least variance of the full logit, given those asked. The covariance
    of the votes is shrunk (Ledoit and Wolf 2004), since there are few labelled pairs.
    """
    scale = _scale(votes)
    weights = fitted.weights * scale / fitted.temperature
    covariance = ledoit_wolf(np.nan_to_num(votes) / scale, assume_centered=True)[0]
    with_total = covariance @ weights
    total = float(weights @ with_total)
    asked: list[int] = []
    rows: list[tuple[float, ...]] = []
    spread: list[float] = []
    left = set(range(len(voters)))
    while left:
        choice = max(sorted(left), key=lambda k: _explained(covariance, with_total, [*asked, k]))
        asked.append(choice)
        left.remove(choice)
        coefficients = np.linalg.solve(covariance[np.ix_(asked, asked)], with_total[asked])
        rows.append(tuple(float(c) for c in coefficients / scale[asked]))
        spread.append(float(np.sqrt(max(total - coefficients @ with_total[asked], 1e-12))))
    return Stopping(order=tuple(voters[k] for k in asked), coefficients=tuple(rows), spread=tuple(spread))


def _explained(covariance: Floats, with_total: Floats, asked: list[int]) -> float:
    """Variance of the full logit that the asked votes explain."""
    part = with_total[asked]
    return float(part @ np.linalg.solve(covariance[np.ix_(asked, asked)], part))


def _scale(votes: Floats) -> Floats:
    """[voters] root mean square of each voter's votes; 1 for a voter that never says anything."""
    present = ~np.isnan(votes)
    square = np.where(present, np.nan_to_num(votes) ** 2, 0.0).sum(0) / np.maximum(present.sum(0), 1)
    scale: Floats = np.where(square > 0, np.sqrt(square), 1.0)
    return scale


def _weights(rows: Floats, penalty: float) -> Floats:
    """[voters]. Every other row is turned round: the solver wants both classes, the likelihood does not change."""
    sign = np.where(np.arange(len(rows)) % 2 == 0, 1.0, -1.0)
    model = LogisticRegression(C=1 / penalty, fit_intercept=False, max_iter=2000)
    weights: Floats = model.fit(rows * sign[:, None], sign > 0).coef_[0]
    return weights


def _held_out(rows: Floats, folds: Sequence[tuple[list[int], list[int]]], penalty: float) -> Floats:
    logits = np.zeros(len(rows))
    for train, test in folds:
        logits[test] = rows[test] @ _weights(rows[train], penalty)
    return logits


def _temperature(logits: Floats) -> float:
    """The divisor that makes the labels most likely."""
    found = minimize_scalar(lambda log_t: nll(logits / np.exp(log_t)), bounds=(-4, 6), method="bounded")
    return float(np.exp(found.x))


def _folds(groups: Sequence[str], folds: int, seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """(train, test) places; a group is on one side."""
    splitter = GroupKFold(min(folds, len(set(groups))), shuffle=True, random_state=seed)
    for train, test in splitter.split(np.zeros(len(groups)), groups=list(groups)):
        yield train.tolist(), test.tolist()
