"""Votes -> the log-odds that one response is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from constitution.principles import Constitution, Principle
from constitution.records import Prompt, Response, Vote
from critics.ranking.weights import Weights
from critics.text.rules import violates

RULE_LOG_ODDS = math.log(0.95 / 0.05)
"""Vote of a rule that one response keeps and the other breaks: a rule is sure, but a reward model must still be finite."""

VETO_LOG_ODDS = math.log(0.9 / 0.1)
"""A judged principle with `veto: true` decides alone once its vote is at least this sure."""

PositionInconsistent = Literal["keep", "half", "drop"]
"""What a vote counts whose judge chose the same position twice: what is left of it once the bias is out, half of that, nothing."""

_COUNTS: Mapping[PositionInconsistent, float] = {"keep": 1.0, "half": 0.5}


@dataclass(frozen=True, slots=True)
class Score:
    """How a pair (a, b) stands, in log-odds for a. Exchanging a and b changes the sign of every number."""

    logit: float
    objectives: dict[str, float]
    """Weighted mean vote of each objective's principles; with fitted weights, what its voters add to the logit."""
    votes: tuple[Vote, ...]
    undecided: str = ""
    """Why such a pair has no label whatever its logit: `contested` (vetoes point both ways), `abstained` (every voter chose a
    position, and such votes are dropped)."""

    def swapped(self) -> Score:
        """The same pair seen from b."""
        objectives = {name: -value for name, value in self.objectives.items()}
        return Score(-self.logit, objectives, tuple(vote.swapped() for vote in self.votes), self.undecided)


def rule_vote(prompt: Prompt, a: Response, b: Response, principle: Principle) -> Vote:
    """The vote of a principle judged by rule: RULE_LOG_ODDS for the response that keeps it, 0 when both or neither do."""
    assert principle.check is not None
    kept_a, kept_b = (violates(principle.check, response.message) is None for response in (a, b))
    z = RULE_LOG_ODDS * (kept_a - kept_b)
    return Vote(prompt.id, a.id, b.id, principle.id, z, -z, "rule", "")


def effective_vote(vote: Vote, position_inconsistent: PositionInconsistent) -> float | None:
    """What a vote counts, in log-odds for a; None when it is not counted at all."""
    if not vote.position_inconsistent:
        return vote.value
    return None if position_inconsistent == "drop" else vote.value * _COUNTS[position_inconsistent]


def score(
    votes: Sequence[Vote],
    constitution: Constitution,
    weights: Weights | None = None,
    position_inconsistent: PositionInconsistent = "keep",
    early_stop_error: float = 0.0,
    min_log_odds: float = 0.0,
) -> Score | None:
    """Combine the votes on one pair; None when there is none.

    By the YAML's weights: the voters of one principle are averaged; each objective's score is the mean of its principles by
    their weights; the logit is the mean of the objectives' scores by the weights of the mixture. Means, not sums: a drawn subset
    of principles gives logits on the same scale as all of them. By fitted weights: the logit is what all voters add to it, and
    an objective's score is the part of its voters; with early stopping (`early_stop_error`), the logit is the one to be
    expected of all. In both, a clear violation of a veto principle (|vote| >= VETO_LOG_ODDS) decides whatever the rest say.
    """
    if not votes:
        return None
    counted = [(vote, value) for vote in votes if (value := effective_vote(vote, position_inconsistent)) is not None]
    if not counted:
        return Score(0.0, {}, tuple(votes), "abstained")
    principles = _shares(counted, weights) if weights else _by_principle(counted)
    objectives = _fitted(counted, constitution, weights) if weights else _weighed(principles, constitution)
    if weights and early_stop_error:
        logit = weights.sequential_logit({vote.voter: value for vote, value in counted}, early_stop_error, min_log_odds)
    elif weights:
        logit = math.fsum(objectives.values())
    else:
        logit = _mean([(constitution.objectives[name], value) for name, value in objectives.items()])
    return _vetoed(Score(logit, objectives, tuple(votes)), principles, constitution)


def _shares(counted: Sequence[tuple[Vote, float]], weights: Weights) -> dict[str, float]:
    """What each principle's voters add to the logit: a fit may know that they are wrong. Unfitted voters count as they are."""
    values: dict[str, list[float]] = {}
    for vote, value in counted:
        known = vote.voter in weights.voters
        values.setdefault(vote.principle, []).append(weights.share(vote.voter, value) if known else value)
    return {name: math.fsum(found) for name, found in values.items()}


def _by_principle(counted: Sequence[tuple[Vote, float]]) -> dict[str, float]:
    """Each principle's mean vote over its voters, of votes and what they count (`effective_vote`)."""
    values: dict[str, list[float]] = {}
    for vote, value in counted:
        values.setdefault(vote.principle, []).append(value)
    return {name: math.fsum(found) / len(found) for name, found in values.items()}


def _weighed(principles: Mapping[str, float], constitution: Constitution) -> dict[str, float]:
    by_objective: dict[str, list[tuple[float, float]]] = {}
    for name, value in principles.items():
        principle = constitution.by_id(name)
        by_objective.setdefault(principle.objective, []).append((principle.weight, value))
    return {name: _mean(pairs) for name, pairs in sorted(by_objective.items())}


def _fitted(counted: Sequence[tuple[Vote, float]], constitution: Constitution, weights: Weights) -> dict[str, float]:
    by_objective: dict[str, list[float]] = {}
    for vote, value in counted:
        objective = constitution.by_id(vote.principle).objective
        by_objective.setdefault(objective, []).append(weights.share(vote.voter, value))
    return {name: math.fsum(shares) for name, shares in sorted(by_objective.items())}


def _vetoed(result: Score, principles: Mapping[str, float], constitution: Constitution) -> Score:
    vetoes = [
        value for name, value in principles.items() if constitution.by_id(name).veto and abs(value) >= VETO_LOG_ODDS
    ]
    if not vetoes:
        return result
    if min(vetoes) < 0 < max(vetoes):
        return replace(result, undecided="contested")
    strongest = max(vetoes, key=abs)
    same_side = result.logit * strongest > 0 and abs(result.logit) >= VETO_LOG_ODDS
    return result if same_side else replace(result, logit=math.copysign(VETO_LOG_ODDS, strongest))


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Weighted mean of (weight, value); all weights are positive."""
    return math.fsum(weight * value for weight, value in pairs) / math.fsum(weight for weight, _ in pairs)
