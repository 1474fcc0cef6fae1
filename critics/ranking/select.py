"""Which candidates to compare, how they rank, and which pairs to train on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Protocol

from constitution.records import Dropped, PreferencePair, Response
from critics.ranking import bradley_terry, schedules
from critics.ranking.aggregate import Score
from critics.ranking.bradley_terry import Index
from critics.ranking.kinds import Schedule, Strategy

Pair = tuple[str, str]
"""Ids of two candidates, in the candidates' order."""


def propose(
    candidates: Sequence[Response],
    scores: Mapping[Pair, Score],
    strategy: Strategy,
    schedule: Schedule,
    budget: int | None,
    seed: int,
    failed: Collection[Pair] = (),
) -> list[tuple[Response, Response]]:
    """The next comparisons to make, all of which can be asked at once; none when there is no more to ask.

    Call it again with the scores of those, `failed` naming the pairs that were asked and got none. When the schedule has
    spent its budget (see `default_budget`), the pairs to train on that were not met on the way are asked in one last round,
    so that each has votes of its own. `revision_original` asks its own pairs, whatever the schedule. Candidates with the
    same message are never compared: there is nothing to choose.
    """
    if strategy == "revision_original" or schedule == "all":
        pairs = _chains(candidates) if strategy == "revision_original" else combinations(candidates, 2)
        asked = {*scores, *failed}
        return [(a, b) for a, b in pairs if a.message != b.message and (a.id, b.id) not in asked]
    table = _table(candidates, scores, failed)
    chosen, spent = _scheduled(table, strategy, schedule, budget, seed)
    if not chosen and len(table.asked) <= spent:
        at = {candidate.id: i for i, candidate in enumerate(candidates)}
        wanted = (_index(at[a], at[b]) for a, b in _wanted(candidates, scores, strategy))
        chosen = [pair for pair in wanted if pair in table.open]
    return [(candidates[a], candidates[b]) for a, b in chosen]


def _scheduled(
    table: schedules.Table, strategy: Strategy, schedule: Schedule, budget: int | None, seed: int
) -> tuple[list[Index], int]:
    """The schedule's next comparisons, and how many of those already asked can be its own."""
    if schedule == "knockout":
        ready, played = schedules.knockout(table, seed)
        return ready, len(played)
    limit = default_budget(table.n) if budget is None else budget
    left = max(limit - len(table.asked), 0)
    fit = bradley_terry.fit(table.n, table.logits)
    if schedule == "swiss":
        return schedules.swiss(table, fit, seed)[:left], limit
    return schedules.adaptive(table, fit, strategy == "best_worst", seed)[:left], limit


def default_budget(n: int) -> int:
    """Comparisons of n candidates that order them almost as well as all would: (n - 1) log2(n), half of all for 16."""
    return math.ceil((n - 1) * math.log2(n)) if n > 1 else 0


def most_comparisons(n: int, strategy: Strategy, schedule: Schedule, budget: int | None) -> int:
    """The most that `propose` asks about n candidates, over all its rounds; no less for more candidates."""
    every = n * (n - 1) // 2
    if strategy == "revision_original":
        return max(n - 1, 0)
    if schedule == "all":
        return every
    eliminations = max(n - 1, 0) + max(n // 2 - 1, 0)
    scheduled = eliminations if schedule == "knockout" else default_budget(n) if budget is None else budget
    last_round = {"best_worst": 1, "adjacent": max(n - 1, 0), "all_pairs": 0}[strategy]
    return min(every, scheduled + last_round)


def _table(candidates: Sequence[Response], scores: Mapping[Pair, Score], failed: Collection[Pair]) -> schedules.Table:
    at = {candidate.id: i for i, candidate in enumerate(candidates)}
    asked = frozenset(_index(at[a], at[b]) for a, b in (*scores, *failed))
    unasked = (pair for pair in combinations(range(len(candidates)), 2) if pair not in asked)
    unlike = tuple((a, b) for a, b in unasked if candidates[a].message != candidates[b].message)
    return schedules.Table(len(candidates), unlike, asked, _logits(at, scores))


def _logits(at: Mapping[str, int], scores: Mapping[Pair, Score]) -> dict[Index, float]:
    """What informs the order: an undecided pair has no label, so it says nothing."""
    return {(at[a], at[b]): score.logit for (a, b), score in scores.items() if not score.undecided}


def _index(a: int, b: int) -> Index:
    return (a, b) if a < b else (b, a)


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


class Named(Protocol):
    """What has an id, as a response."""

    @property
    def id(self) -> str:
        """Unique among those it is ranked with."""


def strengths(candidates: Sequence[Named], scores: Mapping[Pair, Score]) -> dict[str, float]:
    """Each compared candidate's strength in log-odds, by a Bradley-Terry fit (`bradley_terry.fit`).

    Rounded, so that candidates that did equally well tie on every machine. One whose comparisons are all undecided has
    0, the average.
    """
    met = {name for pair in scores for name in pair}
    compared = [candidate.id for candidate in candidates if candidate.id in met]
    logits = _logits({name: i for i, name in enumerate(compared)}, scores)
    return dict(zip(compared, _means(len(compared), tuple(logits.items())), strict=True))


@lru_cache(maxsize=16)
def _means(n: int, logits: tuple[tuple[Index, float], ...]) -> tuple[float, ...]:
    """Kept, since pairs and targets are chosen from the same comparisons one after the other."""
    return tuple(round(float(strength), 9) for strength in bradley_terry.fit(n, dict(logits)).mean)


def _wanted(candidates: Sequence[Response], scores: Mapping[Pair, Score], strategy: Strategy) -> Iterable[Pair]:
    """The pairs to train on, stronger first where the ranking chooses them. Equal messages take one place in it."""
    if strategy in ("all_pairs", "revision_original") or len(scores) == 1:
        return scores
    by_strength = strengths(candidates, scores)
    ranking: list[Response] = []
    for candidate in sorted((c for c in candidates if c.id in by_strength), key=lambda c: -by_strength[c.id]):
        if all(candidate.message != other.message for other in ranking):
            ranking.append(candidate)
    names = [candidate.id for candidate in ranking]
    return pairwise(names) if strategy == "adjacent" else pairwise(names[:1] + names[1:][-1:])


def select(
    candidates: Sequence[Response], scores: Mapping[Pair, Score], strategy: Strategy, min_log_odds: float
) -> tuple[list[PreferencePair], list[Dropped]]:
    """The pairs to train on, and the pairs left out with the reason.

    best_worst keeps the strongest against the weakest candidate, adjacent each against the next weaker one; the other
    strategies keep every judged pair. Dropped as `not_judged` when the ranking wants a pair that has no score, by the
    name of what left a pair undecided, as `tie` when the log-odds are 0, as `below_min_log_odds` when below `min_log_odds`.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    kept: list[PreferencePair] = []
    dropped: list[Dropped] = []
    for wanted in _wanted(candidates, scores, strategy):
        a, b = wanted if wanted in scores else wanted[::-1]
        prompt_id = by_id[a].prompt_id
        score = scores.get((a, b))
        if score is None:
            dropped.append(_dropped(prompt_id, wanted, "not_judged"))
        elif score.undecided:
            dropped.append(_dropped(prompt_id, (a, b), score.undecided))
        elif score.logit == 0:
            dropped.append(_dropped(prompt_id, (a, b), "tie"))
        elif abs(score.logit) < min_log_odds:
            dropped.append(
                _dropped(prompt_id, (a, b), "below_min_log_odds", f"{abs(score.logit):.4f} < {min_log_odds}")
            )
        else:
            (chosen, rejected), view = ((a, b), score) if score.logit > 0 else ((b, a), score.swapped())
            kept.append(
                PreferencePair(
                    prompt_id,
                    by_id[chosen],
                    by_id[rejected],
                    view.logit,
                    view.objectives,
                    view.votes,
                    view.source,
                    view.voters,
                )
            )
    return kept, dropped


def _dropped(prompt_id: str, pair: Pair, reason: str, detail: str = "") -> Dropped:
    return Dropped(prompt_id, "pairs", reason, detail, f"{pair[0]} vs {pair[1]}")
