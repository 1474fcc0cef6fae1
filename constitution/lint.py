"""Warnings about constitutions that load but may not mean what their author thinks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from constitution.loading import Loaded, Problem
from constitution.principles import Principle

SAME = 0.7
"""Two principles whose texts share this much (Jaccard index over words) are near-duplicates."""

_WORD = re.compile(r"\w+")
_SMALL = frozenset(
    {"a", "an", "and", "as", "be", "do", "for", "in", "is", "it", "not", "of", "or", "the", "to", "with", "that"}
)


def warnings(loaded: Loaded) -> list[Problem]:
    """Near-duplicate principles, objectives nobody serves, judged principles that contrast judging cannot use."""
    constitution = loaded.constitution
    served = {principle.objective for principle in constitution.principles}
    found = [
        Problem(
            loaded.objectives_place, f"objective {name!r}: no principle serves it; add one, or delete the objective"
        )
        for name in constitution.objectives
        if name not in served
    ]
    for first, second, share in near_duplicates(constitution.principles):
        other = f"{first.id!r} ({loaded.places[first.id]})"
        text = f"principle {second.id!r}: shares {share:.0%} of its words with {other}; merge them or tell them apart"
        found.append(Problem(loaded.places[second.id], text))
    return found


def near_duplicates(principles: Sequence[Principle]) -> list[tuple[Principle, Principle, float]]:
    """Pairs of principles that say nearly the same, with the share of words they have in common."""
    judged = [principle for principle in principles if principle.judged]
    bags = {principle.id: _words(principle.text) for principle in judged}
    pairs = []
    for first, second in combinations(judged, 2):
        a, b = bags[first.id], bags[second.id]
        share = len(a & b) / len(a | b) if a | b else 1.0
        if share >= SAME:
            pairs.append((first, second, share))
    return pairs


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold())) - _SMALL
