"""Which candidates to compare, and which pairs to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from constitution.records import Dropped, PreferencePair, Response
from critics.aggregate import Score

Strategy = Literal["best_worst", "revision_original", "all_pairs"]
Pair = tuple[str, str]
"""Ids of two candidates, in the candidates' order."""


def schedule(candidates: Sequence[Response], strategy: Strategy) -> list[tuple[Response, Response]]:
    """The comparisons to make. Candidates with the same text are not compared: there is nothing to choose."""
    pairs = _chains(candidates) if strategy == "revision_original" else combinations(candidates, 2)
    return [(a, b) for a, b in pairs if a.message != b.message]


def _chains(candidates: Sequence[Response]) -> list[tuple[Response, Response]]:
    """(original, its last revision) for every candidate that was revised."""
    by_id = {candidate.id: candidate for candidate in candidates}
    parents = {candidate.parent for candidate in candidates}
    pairs = []
    for last in candidates:
        if last.parent is None or last.id in parents:
            continue
        first = last
        while first.parent is not None:
            first = by_id[first.parent]
        pairs.append((first, last))
    return pairs


def strengths(candidates: Sequence[Response], scores: Mapping[Pair, Score]) -> dict[str, float]:
    """Each compared candidate's mean log-odds against those it met (Borda's count on soft votes)."""
    met: dict[str, list[float]] = {}
    for (a, b), score in scores.items():
        met.setdefault(a, []).append(score.logit)
        met.setdefault(b, []).append(-score.logit)
    return {c.id: sum(met[c.id]) / len(met[c.id]) for c in candidates if c.id in met}


def select(
    candidates: Sequence[Response], scores: Mapping[Pair, Score], strategy: Strategy, margin: float
) -> tuple[list[PreferencePair], list[Dropped]]:
    """The pairs to train on, and the judged pairs left out with the reason.

    best_worst keeps the strongest against the weakest candidate; the other strategies keep every judged pair. Dropped as
    `contested` when vetoes point both ways, as `tie` when the log-odds are 0, as `under_margin` when below `margin`.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    wanted = scores
    if strategy == "best_worst" and scores:
        ranked = strengths(candidates, scores)
        best, worst = max(ranked, key=ranked.__getitem__), min(reversed(ranked), key=ranked.__getitem__)
        wanted = {pair: score for pair, score in scores.items() if set(pair) == {best, worst}}
        if not wanted:
            return [], [_dropped(candidates[0].prompt_id, (best, worst), "not_judged")]
    kept: list[PreferencePair] = []
    dropped: list[Dropped] = []
    for (a, b), score in wanted.items():
        prompt_id = by_id[a].prompt_id
        if score.contested:
            dropped.append(_dropped(prompt_id, (a, b), "contested"))
        elif score.logit == 0:
            dropped.append(_dropped(prompt_id, (a, b), "tie"))
        elif abs(score.logit) < margin:
            dropped.append(_dropped(prompt_id, (a, b), "under_margin", f"{abs(score.logit):.4f} < {margin}"))
        else:
            (chosen, rejected), view = ((a, b), score) if score.logit > 0 else ((b, a), score.swapped())
            kept.append(
                PreferencePair(prompt_id, by_id[chosen], by_id[rejected], view.logit, view.objectives, view.votes)
            )
    return kept, dropped


def _dropped(prompt_id: str, pair: Pair, reason: str, detail: str = "") -> Dropped:
    return Dropped(prompt_id, "pairs", reason, detail, f"{pair[0]} vs {pair[1]}")
