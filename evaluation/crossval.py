"""Cross-validation of a panel: what it says of pairs that it was not fitted on, asked whole and asked in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from critics.weights import Stopping
from evaluation.ballots import Ballots
from evaluation.fitting import Fitter, folds, stopping
from evaluation.measures import Floats


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
    turns: Turns


def cross_validated(ballots: Ballots, fitted: Fitter, count: int, seed: int, error: float, margin: float) -> Crossed:
    """Weights, order and stopping are all learnt on the other folds."""
    votes = ballots.votes
    logits, asked, expected = (np.zeros(len(votes)) for _ in range(3))
    for train, test in folds(ballots.groups, count, seed):
        found = fitted(votes[train], [ballots.groups[i] for i in train])
        rule = stopping(votes[train], found, ballots.voters)
        logits[test] = found.logits(votes[test])
        turns = in_turn(votes[test], ballots.voters, rule, error, margin)
        asked[test], expected[test] = turns
    return Crossed(logits, Turns(asked, expected))


def in_turn(votes: Floats, voters: Sequence[str], rule: Stopping, error: float, margin: float) -> Turns:
    """Ask each pair's voters in the rule's order; a missing vote is 0, as in a run."""
    place = {name: k for k, name in enumerate(voters)}
    ordered = np.nan_to_num(votes[:, [place[name] for name in rule.order]])
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
