"""Which responses to imitate in supervised training.

In Constitutional AI (Bai et al. 2022, arXiv:2212.08073, section 3) all revisions are imitated, before anything is compared. A
revision may be worse than what it revises, so here the votes choose, unless all are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from constitution.records import Response
from critics.ranking.aggregate import Score
from critics.ranking.kinds import Targets
from critics.ranking.select import Pair, strengths


def targets(
    candidates: Sequence[Response], scores: Mapping[Pair, Score], which: Targets, min_log_odds: float = 0.0
) -> list[Response]:
    """The responses of one prompt to imitate.

    best: the strongest revision that beats the response it goes back to; where none does, the strongest response, if it beats
    another. revised: such a revision alone. all: every revision, whatever the votes. One beats another where the log-odds of
    their pair, or of their strengths if they were never compared, are above 0 and at least `min_log_odds`. What `max_tokens`
    cut is never imitated.
    """
    if which == "all":
        return [candidate for candidate in candidates if candidate.origin == "revised"]
    by_strength = strengths(candidates, scores)
    by_id = {candidate.id: candidate for candidate in candidates}
    ranked = sorted(
        (candidate for candidate in candidates if candidate.id in by_strength and not candidate.truncated),
        key=lambda candidate: -by_strength[candidate.id],
    )

    def beats(one: str, other: str) -> bool:
        score = scores.get((one, other)) or (scores[other, one].swapped() if (other, one) in scores else None)
        if score is not None and score.undecided:
            return False
        if score is None and not {one, other} <= by_strength.keys():
            return False
        log_odds = by_strength[one] - by_strength[other] if score is None else score.logit
        return log_odds > 0 and log_odds >= min_log_odds

    better = [c for c in ranked if c.origin == "revised" and beats(c.id, _first(c, by_id).id)]
    if better or which == "revised":
        return better[:1]
    met = {name: {other for pair in scores if name in pair for other in pair if other != name} for name in by_strength}
    return [c for c in ranked[:1] if any(beats(c.id, other) for other in met[c.id])]


def _first(candidate: Response, by_id: Mapping[str, Response]) -> Response:
    """The response that a chain of revisions goes back to; the earliest of them that is still a candidate."""
    while candidate.parent is not None and candidate.parent in by_id:
        candidate = by_id[candidate.parent]
    return candidate
