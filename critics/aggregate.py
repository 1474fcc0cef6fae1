"""Votes -> the log-odds that one reply is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from constitution.principles import Constitution, Principle
from constitution.records import Prompt, Response, Vote
from critics.rules import violates

RULE_LOG_ODDS = math.log(0.95 / 0.05)
"""Vote of a rule that one reply keeps and the other breaks: a rule is sure, but a reward model must still be finite."""

VETO_LOG_ODDS = math.log(0.9 / 0.1)
"""A judged principle with `veto: true` decides alone once its vote is at least this sure."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a pair (a, b) stands, in log-odds for a. Exchanging a and b changes the sign of every number."""

    logit: float
    objectives: dict[str, float]
    """Weighted mean vote of each objective's principles."""
    votes: tuple[Vote, ...]
    contested: bool = False
    """True when vetoes point both ways; such a pair has no label."""

    def swapped(self) -> Score:
        """The same pair seen from b."""
        objectives = {name: -value for name, value in self.objectives.items()}
        return Score(-self.logit, objectives, tuple(vote.swapped() for vote in self.votes), self.contested)


def rule_vote(prompt: Prompt, a: Response, b: Response, principle: Principle) -> Vote:
    """The vote of a principle judged by rule: RULE_LOG_ODDS for the reply that keeps it, 0 when both or neither do."""
    assert principle.check is not None
    kept_a, kept_b = (violates(principle.check, response.message) is None for response in (a, b))
    z = RULE_LOG_ODDS * (kept_a - kept_b)
    return Vote(prompt.id, a.id, b.id, principle.id, z, -z)


def score(votes: Sequence[Vote], constitution: Constitution) -> Score | None:
    """Combine the votes on one pair; None when there is none.

    Each objective's score is the mean of its principles' votes by their weights; the logit is the mean of the objectives'
    scores by the weights of the mixture. Means, not sums: a drawn subset of principles gives logits on the same scale as
    all of them. A clear violation of a veto principle (|vote| >= VETO_LOG_ODDS) decides whatever the rest say.
    """
    if not votes:
        return None
    by_objective: dict[str, list[tuple[float, float]]] = {}
    vetoes: list[float] = []
    for vote in votes:
        principle = constitution.by_id(vote.principle)
        by_objective.setdefault(principle.objective, []).append((principle.weight, vote.value))
        if principle.veto and abs(vote.value) >= VETO_LOG_ODDS:
            vetoes.append(vote.value)
    objectives = {name: _mean(pairs) for name, pairs in sorted(by_objective.items())}
    logit = _mean([(constitution.objectives[name], value) for name, value in objectives.items()])
    result = Score(logit, objectives, tuple(votes))
    if not vetoes:
        return result
    if min(vetoes) < 0 < max(vetoes):
        return replace(result, contested=True)
    strongest = max(vetoes, key=abs)
    same_side = logit * strongest > 0 and abs(logit) >= VETO_LOG_ODDS
    return result if same_side else replace(result, logit=math.copysign(VETO_LOG_ODDS, strongest))


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Weighted mean of (weight, value); all weights are positive."""
    return math.fsum(weight * value for weight, value in pairs) / math.fsum(weight for weight, _ in pairs)
