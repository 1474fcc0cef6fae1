"""Votes -> the log-odds that one response is better."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from constitution.principles import Constitution, Principle
from constitution.records import VIOLATION, LabelSource, Prompt, Response, Vote
from critics.ranking.pooling import Counted, Pooling, kish
from critics.ranking.vetoes import Veto, veto
from critics.ranking.weights import Weights
from critics.rules.check import violates

RULE_LOG_ODDS = math.log(0.95 / 0.05)
"""Vote of a rule that one response keeps and the other breaks, as it is recorded, and as it counts where rules alone decide: a rule
is sure, but a reward model must still be finite."""

PositionInconsistent = Literal["keep", "half", "drop"]
"""What a vote counts whose judge chose the same position twice: what is left of it once the bias is out, half of that, nothing."""

_COUNTS: Mapping[PositionInconsistent, float] = {"keep": 1.0, "half": 0.5}


@dataclass(frozen=True, slots=True)
class Score:
    """How a pair (a, b) stands, in log-odds for a. Exchanging a and b changes the sign of every number."""

    logit: float
    objectives: dict[str, float]
    """Weighted mean vote of each objective's principles; with fitted weights, what its voters add to the logit; of a veto, what
    it is worth."""
    votes: tuple[Vote, ...]
    undecided: str = ""
    """Why such a pair has no label whatever its logit: `abstained` (every voter chose a position, and such votes are dropped)."""
    source: LabelSource = "panel"
    """Who the label is from."""
    veto: str = ""
    """Id of the principle whose veto decided."""
    counted: tuple[Counted, ...] = ()
    """The votes whose mean the logit is, where the constitution's own weights count: what `pooling` makes a probability of. None
    where rules alone or a veto decided, nor with fitted weights."""

    @property
    def voters(self) -> float:
        """Kish's number of the votes whose mean the logit is; 0 where it is no mean to be pooled."""
        return kish([one.weight for one in self.counted])

    def swapped(self) -> Score:
        """The same pair seen from b."""
        objectives = {name: -value for name, value in self.objectives.items()}
        counted = tuple(Counted(one.weight, -one.value) for one in self.counted)
        votes = tuple(vote.swapped() for vote in self.votes)
        return replace(self, logit=-self.logit, objectives=objectives, votes=votes, counted=counted)


def rule_vote(prompt: Prompt, a: Response, b: Response, principle: Principle) -> Vote | None:
    """The vote of a principle judged by rule: RULE_LOG_ODDS for the response that keeps it; None when both or neither do."""
    assert principle.check is not None
    kept_a, kept_b = (violates(principle.check, prompt, response.message) is None for response in (a, b))
    if kept_a == kept_b:
        return None
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
) -> Score:
    """Combine the votes on one pair; no vote at all is a tie.

    A veto decides whatever the rest say (`vetoes.veto`). Else, by the YAML's weights: the voters of one principle are averaged;
    each objective's score is the mean of its principles by their weights; the logit is the mean of the objectives' scores by the
    weights of the mixture. Means, not sums: `pooling` says how sure so many agreeing voters are. A rule counts as one more voter
    that is as sure as the judged ones are of this pair on average; alone, it has the value that is recorded. By fitted weights: the
    logit is what all voters add to it, and an objective's score is the part of its voters; with early stopping
    (`early_stop_error`), the logit is the one to be expected of all.
    """
    decided = veto(votes, constitution.vetoes)
    if decided:
        return _by_veto(decided, votes, constitution)
    # a rule that sees no difference says nothing, and is no vote of 0
    rest = [vote for vote in votes if vote.method != VIOLATION and (vote.value or vote.method != "rule")]
    counted = [(vote, value) for vote in rest if (value := effective_vote(vote, position_inconsistent)) is not None]
    if not counted:
        return Score(0.0, {}, tuple(votes), "abstained" if rest else "")
    source = _source(vote for vote, value in counted if value)
    if weights is None:
        return _mean(counted, constitution, tuple(votes), source)
    objectives = _fitted(counted, constitution, weights)
    if early_stop_error:
        values = {vote.voter: value for vote, value in counted}
        logit = weights.sequential_logit(values, early_stop_error, min_log_odds)
    else:
        logit = math.fsum(objectives.values())
    return Score(logit, objectives, tuple(votes), source=source)


def pooled(found: Score, pooling: Pooling) -> Score:
    """The score of a pair of a run whose mean votes are pooled; as it is where it is no mean."""
    return replace(found, logit=pooling.log_odds(found.logit, found.voters)) if found.counted else found


def _by_veto(decided: Veto, votes: Sequence[Vote], constitution: Constitution) -> Score:
    objective = constitution.by_id(decided.principle).objective
    source = _source(vote for vote in votes if vote.principle == decided.principle)
    return Score(decided.logit, {objective: decided.logit}, tuple(votes), source=source, veto=decided.principle)


def _source(votes: Iterable[Vote]) -> LabelSource:
    """Of the votes that took a side."""
    return "rule" if {vote.method for vote in votes} == {"rule"} else "panel"


def _mean(
    counted: Sequence[tuple[Vote, float]],
    constitution: Constitution,
    votes: tuple[Vote, ...],
    source: LabelSource,
) -> Score:
    """By the constitution's own weights."""
    shares = mean_weights([vote for vote, _ in counted], constitution)
    size = RULE_LOG_ODDS if source == "rule" else _judged_size(counted, shares)
    mean: list[tuple[Vote, Counted]] = []
    for (vote, value), share in zip(counted, shares, strict=True):
        mean.append((vote, Counted(share, math.copysign(size, value) if vote.method == "rule" else value)))
    by_objective: dict[str, list[Counted]] = {}
    for vote, one in mean:
        by_objective.setdefault(constitution.by_id(vote.principle).objective, []).append(one)
    objectives = {name: _summed(found) / sum(one.weight for one in found) for name, found in by_objective.items()}
    every = tuple(one for _, one in mean)
    return Score(
        _summed(every),
        dict(sorted(objectives.items())),
        votes,
        source=source,
        counted=() if source == "rule" else every,
    )


def mean_weights(votes: Sequence[Vote], constitution: Constitution) -> list[float]:
    """What each vote on a pair counts in their mean, by the constitution's own weights; they add up to 1."""
    principles = [constitution.by_id(vote.principle) for vote in votes]
    asked = {principle.id: principle for principle in principles}.values()
    cast = Counter(principle.id for principle in principles)
    within: defaultdict[str, float] = defaultdict(float)
    for principle in asked:
        within[principle.objective] += principle.weight
    mixture = math.fsum(constitution.objectives[name] for name in within)
    return [
        constitution.objectives[one.objective] / mixture * one.weight / within[one.objective] / cast[one.id]
        for one in principles
    ]


def _judged_size(counted: Sequence[tuple[Vote, float]], shares: Sequence[float]) -> float:
    """How sure the judged votes on a pair are, on average; of rules there is no need to ask."""
    judged = [
        (share, abs(value)) for (vote, value), share in zip(counted, shares, strict=True) if vote.method != "rule"
    ]
    return math.fsum(share * size for share, size in judged) / math.fsum(share for share, _ in judged)


def _summed(votes: Iterable[Counted]) -> float:
    return math.fsum(one.weight * one.value for one in votes)


def _fitted(counted: Sequence[tuple[Vote, float]], constitution: Constitution, weights: Weights) -> dict[str, float]:
    by_objective: dict[str, list[float]] = {}
    for vote, value in counted:
        objective = constitution.by_id(vote.principle).objective
        by_objective.setdefault(objective, []).append(weights.share(vote.voter, value))
    return {name: math.fsum(shares) for name, shares in sorted(by_objective.items())}
