"""Cross-validation of a panel: what it says of pairs that it was not fitted on, asked whole and asked in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from critics.ranking.weights import Stopping
from evaluation.judge.ballots import Ballots
from evaluation.judge.fitting import Fitter, folds, stopping
from evaluation.statistics import Floats


class Turns(NamedTuple):
    """Pairs judged one voter after the other, until the rest would not change the label."""

    asked: Floats
    """[pairs] share of the voters that were asked."""
    logits: Floats
    """[pairs] the full logit that was expected when asking stopped."""


class Crossed(NamedTuple):
    """Each pair as judged by a fit that saw no pair of its group."""

    logits: Floats
    """[pairs] for the better reply."""
    rules: tuple[tuple[list[int], Stopping], ...]
    """(places, how their voters are asked in turn) of each fold, learnt on the other folds too."""

    def turns(self, ballots: Ballots, error: float, margin: float) -> Turns:
        """The same pairs with the voters asked in turn."""
        asked, logits = np.zeros(len(self.logits)), np.zeros(len(self.logits))
        for places, rule in self.rules:
            asked[places], logits[places] = in_turn(ballots.votes[places], ballots.voters, rule, error, margin)
        return Turns(asked, logits)


def cross_validated(ballots: Ballots, fitted: Fitter, count: int, seed: int) -> Crossed:
    """Weights, order and stopping of each fold are learnt on the others."""
    votes, logits = ballots.votes, np.zeros(len(ballots.pairs))
    rules = []
    for train, test in folds(ballots.groups, count, seed):
        found = fitted(votes[train], [ballots.groups[i] for i in train])
        logits[test] = found.logits(votes[test])
        rules.append((test, stopping(votes[train], found, ballots.voters)))
    return Crossed(logits, tuple(rules))


def in_turn(votes: Floats, voters: Sequence[str], rule: Stopping, error: float, margin: float) -> Turns:
    """Ask each pair's voters in the rule's order. A vote that is missing, of a voter or of a pair, is 0, as in a run."""
    place = {name: votes[:, k] for k, name in enumerate(voters)}
    nobody = np.zeros(len(votes))
    ordered = np.nan_to_num(np.stack([place.get(name, nobody) for name in rule.order], axis=1))
    asked, logits = np.zeros(len(votes)), np.zeros(len(votes))
    for i, row in enumerate(ordered.tolist()):
        stop = next(t for t in range(1, len(row) + 1) if rule.settled(row[:t], error, margin))
        asked[i] = stop / len(row)
        logits[i] = rule.expected(row[:stop])[0]
    return Turns(asked, logits)


def same_labels(full: Floats, turned: Floats, margin: float) -> tuple[int, int]:
    """(pairs beyond the margin, those of them that get the same label when asked in turn)."""
    beyond = (np.abs(full) >= margin) & (full != 0)
    same = (np.sign(full) == np.sign(turned)) & (np.abs(turned) >= margin)
    return int(beyond.sum()), int((beyond & same).sum())
