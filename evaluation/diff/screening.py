"""Which prompts an edit may change, found for all pairs at once: only those are counted anew, one by one.

An edit of weights, of objectives' weights or of questions leaves it as it is who is asked about what. The mean of a pair's votes is
then a matter of arrays; a label can change only where its sign does, or where it crosses the threshold.
"""

from __future__ import annotations

import numpy as np

from constitution.principles import Constitution
from constitution.records import VIOLATION, Vote
from critics.ranking.aggregate import RULE_LOG_ODDS, effective_vote
from evaluation.diff.ballots import Ballots
from evaluation.statistics import Floats
from generation.config import Plan

NEAR = 1e-6
"""Log-odds within which rounding may decide."""


class Screen:
    """The votes of a run as arrays [pairs, voters]."""

    def __init__(self, ballots: Ballots, vetoed: set[tuple[str, frozenset[str]]]) -> None:
        """vetoed: pairs that a veto decided, whatever the weights are."""
        self._ballots = ballots
        rows: list[tuple[int, list[Vote]]] = []
        for number, ballot in enumerate(ballots.prompts):
            for (a, b), votes in ballot.votes.items():
                if (ballot.prompt.id, frozenset((a, b))) not in vetoed:
                    rows.append((number, votes))
        self._prompt = np.array([number for number, _ in rows], dtype=int)
        voters: dict[str, Vote] = {}
        for _, votes in rows:
            for vote in votes:
                voters.setdefault(vote.voter, vote)
        self.voters = [vote for vote in voters.values() if vote.method != VIOLATION]
        place = {vote.voter: k for k, vote in enumerate(self.voters)}
        self._values = np.full((len(rows), len(place)), np.nan)
        how = ballots.config.plan.position_inconsistent
        for i, (_, votes) in enumerate(rows):
            for vote in votes:
                value = effective_vote(vote, how) if vote.voter in place else None
                if value is not None and (value or vote.method != "rule"):
                    self._values[i, place[vote.voter]] = value
        self._several = {n for n, ballot in enumerate(ballots.prompts) if len(ballot.votes) > 1}
        self._before = self._logits(ballots.constitution, [True] * len(self.voters))

    def changed(self, constitution: Constitution, holds: list[bool], plan: Plan) -> list[int]:
        """Numbers of the prompts whose labels may change. holds: [voters] whether a voter's votes are about its question still."""
        after = self._logits(constitution, holds)
        least = max(plan.min_log_odds, 0.0)
        labels = [np.where(np.abs(z) < max(least, NEAR), 0, np.sign(z)) for z in (self._before, after)]
        doubtful = (labels[0] != labels[1]) | (np.abs(np.abs(after) - least) < NEAR)
        found = {*self._prompt[doubtful].tolist()}
        if plan.pairs not in ("all_pairs", "revision_original"):
            # which pair is chosen hangs on how strong all candidates are
            moved = np.abs(after - self._before) > 1e-12
            found |= {*self._prompt[moved].tolist()} & self._several
        return sorted(found)

    def _logits(self, constitution: Constitution, holds: list[bool]) -> Floats:
        """[pairs] `aggregate.score` of the votes that hold."""
        values = np.where(np.array(holds, dtype=bool), self._values, np.nan)
        ids = [principle.id for principle in constitution.principles]
        objectives = [*constitution.objectives]
        of = np.array([[vote.principle == name for name in ids] for vote in self.voters], dtype=float).reshape(
            -1, len(ids)
        )
        serves = np.array(
            [[principle.objective == name for name in objectives] for principle in constitution.principles], dtype=float
        )
        weight = np.array([principle.weight for principle in constitution.principles])
        mixture = np.array([constitution.objectives[name] for name in objectives])
        present = (~np.isnan(values)).astype(float)
        cast = present @ of
        own = weight * (cast > 0)
        within = own @ serves
        there = (within > 0) * mixture
        by_objective = np.divide(
            there, within * there.sum(1, keepdims=True), out=np.zeros_like(within), where=within > 0
        )
        by_principle = np.divide(own * (by_objective @ serves.T), cast, out=np.zeros_like(cast), where=cast > 0)
        share = (by_principle @ of.T) * present
        rule = np.array([vote.method == "rule" for vote in self.voters], dtype=bool)
        clean = np.nan_to_num(values)
        judged = share[:, ~rule].sum(1)
        size = np.divide(
            (share * np.abs(clean))[:, ~rule].sum(1), judged, out=np.full(len(clean), RULE_LOG_ODDS), where=judged > 0
        )
        counted = np.where(rule, np.sign(clean) * size[:, None], clean)
        found: Floats = (share * counted).sum(1)
        return found
