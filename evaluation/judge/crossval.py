"""Cross-validation of a panel: what it says of pairs that it was not fitted on, by all voters and under early stopping.

The rule for stopping takes votes as jointly normal, with a covariance from the same pairs as the weights. Where voters are as many
as pairs, or votes are no more than +1 and -1, more labels change than it says. So its spread is multiplied by what held-out pairs
ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from critics.ranking.weights import Stopping
from evaluation.judge.fitting import Fit, Fitter, folds, stopping
from evaluation.judge.matrix import VoteMatrix
from evaluation.statistics import Floats

CHECKED = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Stated errors that a rule's spread must hold on held-out pairs."""
FACTORS = 1.1 ** np.arange(30)
"""What a spread is multiplied by; never less than 1, so that the rule holds pair by pair where the normal model is right."""
CUTS = 5
"""Folds inside the pairs that a rule is learnt on."""


class EarlyStopping(NamedTuple):
    """Pairs judged one voter after the other, until the rest would not change the label."""

    queried: Floats
    """[pairs] share of the voters that were queried."""
    logits: Floats
    """[pairs] the full logit that was expected when asking stopped."""


class CrossValidation(NamedTuple):
    """Each pair as judged by a fit that saw no pair of its group."""

    logits: Floats
    """[pairs] for the better response."""
    rules: tuple[tuple[list[int], Stopping], ...]
    """(places, their order and stopping rule) of each fold, learnt on the other folds too."""

    def early_stopping(self, matrix: VoteMatrix, error: float, min_log_odds: float) -> EarlyStopping:
        """The same pairs under early stopping (sequential testing)."""
        queried, logits = np.zeros(len(self.logits)), np.zeros(len(self.logits))
        for places, rule in self.rules:
            queried[places], logits[places] = stop_early(matrix.votes[places], matrix.voters, rule, error, min_log_odds)
        return EarlyStopping(queried, logits)


def out_of_fold(matrix: VoteMatrix, fitted: Fitter, count: int, seed: int) -> Floats:
    """[pairs] log-odds for the better response of each pair, by weights that were fitted on the pairs of other groups."""
    logits = np.zeros(len(matrix.pairs))
    for train, test in folds(matrix.groups, count, seed):
        logits[test] = fitted(matrix.votes[train], [matrix.groups[i] for i in train]).logits(matrix.votes[test])
    return logits


def cross_validated(matrix: VoteMatrix, fitted: Fitter, count: int, seed: int) -> CrossValidation:
    """Weights, order and stopping of each fold are learnt on the others."""
    votes, logits = matrix.votes, np.zeros(len(matrix.pairs))
    rules = []
    for train, test in folds(matrix.groups, count, seed):
        groups = [matrix.groups[i] for i in train]
        found = fitted(votes[train], groups)
        logits[test] = found.logits(votes[test])
        rules.append((test, calibrated_stopping(votes[train], groups, matrix.voters, fitted, found, seed)))
    return CrossValidation(logits, tuple(rules))


def calibrated_stopping(
    votes: Floats, groups: Sequence[str], voters: Sequence[str], fitted: Fitter, found: Fit, seed: int
) -> Stopping:
    """The rule for these weights, its spread multiplied by the least factor with which it holds what it states.

    On held-out folds of these pairs, at each of CHECKED, no larger share of the labels may change, with one more change added, as
    conformal risk control does (Angelopoulos et al. 2022, arXiv:2208.02814). No label is needed for that. found: the weights that
    `fitted` gives for all pairs.
    """
    rule = stopping(votes, found, voters)
    expected: list[Floats] = []
    spread: list[Floats] = []
    full: list[Floats] = []
    for train, test in folds(groups, CUTS, seed):
        part = fitted(votes[train], [groups[i] for i in train])
        learnt = stopping(votes[train], part, voters)
        expected.append(_expected(votes[test], voters, learnt))
        spread.append(np.tile(learnt.spread, (len(test), 1)))
        full.append(part.logits(votes[test]))
    factor = _factor(np.concatenate(expected), np.concatenate(spread), np.concatenate(full))
    return rule.model_copy(update={"spread": tuple(factor * value for value in rule.spread)})


def _factor(expected: Floats, spread: Floats, full: Floats) -> float:
    """The least of FACTORS that holds at each of CHECKED; the largest where none does."""
    decided = full != 0

    def holds(factor: float, error: float) -> bool:
        stops = _settled(expected, factor * spread, error, 0.0).argmax(1)
        turned = expected[np.arange(len(full)), stops]
        changed = (np.sign(turned) != np.sign(full)) & decided
        return bool(changed.sum() <= max(0.0, error * (decided.sum() + 1) - 1))

    return next((float(f) for f in FACTORS if all(holds(f, error) for error in CHECKED)), float(FACTORS[-1]))


def stop_early(
    votes: Floats, voters: Sequence[str], rule: Stopping, error: float, min_log_odds: float
) -> EarlyStopping:
    """Ask each pair's voters in the rule's order. A vote that is missing, of a voter or of a pair, is 0, as in a run."""
    expected, spread = _expected(votes, voters, rule), np.array(rule.spread)
    stops = _settled(expected, spread, error, min_log_odds).argmax(1)
    return EarlyStopping((stops + 1) / len(rule.order), expected[np.arange(len(votes)), stops])


def _expected(votes: Floats, voters: Sequence[str], rule: Stopping) -> Floats:
    """[pairs, voters of the rule] the full logit that is expected after each vote."""
    place = {name: votes[:, k] for k, name in enumerate(voters)}
    nobody = np.zeros(len(votes))
    ordered = np.nan_to_num(np.stack([place.get(name, nobody) for name in rule.order], axis=1))
    weights = np.zeros((len(rule.order), len(rule.order)))
    for t, row in enumerate(rule.coefficients):
        weights[t, : t + 1] = row
    expected: Floats = ordered @ weights.T
    return expected


def _settled(expected: Floats, spread: Floats, error: float, min_log_odds: float) -> NDArray[np.bool_]:
    """[pairs, voters of the rule] `Stopping.settled` after each vote."""
    wins, loses = (ndtr((side * np.abs(expected) - min_log_odds) / spread) for side in (1, -1))
    settled: NDArray[np.bool_] = np.maximum(wins, 1 - wins - loses) >= 1 - error
    settled[:, -1] = True
    return settled


def same_labels(full: Floats, turned: Floats, min_log_odds: float) -> tuple[int, int]:
    """(pairs with a label, those of them that get the same label under early stopping)."""
    beyond = (np.abs(full) >= min_log_odds) & (full != 0)
    same = (np.sign(full) == np.sign(turned)) & (np.abs(turned) >= min_log_odds)
    return int(beyond.sum()), int((beyond & same).sum())
