"""Cross-validation of a panel: what it says of pairs that it was not fitted on, by all voters and under early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from critics.ranking.weights import Stopping
from evaluation.judge.fitting import Fitter, folds, stopping
from evaluation.judge.matrix import VoteMatrix
from evaluation.statistics import Floats


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


def cross_validated(matrix: VoteMatrix, fitted: Fitter, count: int, seed: int) -> CrossValidation:
    """Weights, order and stopping of each fold are learnt on the others."""
    votes, logits = matrix.votes, np.zeros(len(matrix.pairs))
    rules = []
    for train, test in folds(matrix.groups, count, seed):
        found = fitted(votes[train], [matrix.groups[i] for i in train])
        logits[test] = found.logits(votes[test])
        rules.append((test, stopping(votes[train], found, matrix.voters)))
    return CrossValidation(logits, tuple(rules))


def stop_early(
    votes: Floats, voters: Sequence[str], rule: Stopping, error: float, min_log_odds: float
) -> EarlyStopping:
    """Ask each pair's voters in the rule's order. A vote that is missing, of a voter or of a pair, is 0, as in a run."""
    place = {name: votes[:, k] for k, name in enumerate(voters)}
    nobody = np.zeros(len(votes))
    ordered = np.nan_to_num(np.stack([place.get(name, nobody) for name in rule.order], axis=1))
    queried, logits = np.zeros(len(votes)), np.zeros(len(votes))
    for i, row in enumerate(ordered.tolist()):
        stop = next(t for t in range(1, len(row) + 1) if rule.settled(row[:t], error, min_log_odds))
        queried[i] = stop / len(row)
        logits[i] = rule.expected(row[:stop])[0]
    return EarlyStopping(queried, logits)


def same_labels(full: Floats, turned: Floats, min_log_odds: float) -> tuple[int, int]:
    """(pairs with a label, those of them that get the same label under early stopping)."""
    beyond = (np.abs(full) >= min_log_odds) & (full != 0)
    same = (np.sign(full) == np.sign(turned)) & (np.abs(turned) >= min_log_odds)
    return int(beyond.sum()), int((beyond & same).sum())
