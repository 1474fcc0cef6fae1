"""Warnings about constitutions that load but may not mean what their author thinks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from constitution.errors import Problem
from constitution.loading import ConstitutionWithPlaces
from constitution.principles import Principle
from constitution.words import words_of

SAME = 0.7
"""Two principles whose texts share this much (Jaccard index over words) are near-duplicates."""

_JUDGED = ("antithesis", "critique", "compare", "ask", "good_answer", "violation", "examples")
"""Fields that only a model which judges or rewrites by the principle would be shown."""
_SMALL = frozenset(
    {"a", "an", "and", "as", "be", "do", "for", "in", "is", "it", "not", "of", "or", "the", "to", "with", "that"}
)


def warnings(loaded: ConstitutionWithPlaces) -> list[Problem]:
    """What its author may not have meant, of a constitution that loads.

    Objectives that no principle serves, near-duplicate principles, principles judged by rule whose other texts nobody reads,
    and judged principles that likelihood contrast can only weigh against no instruction, where others have an antithesis.
    """
    constitution = loaded.constitution
    served = {principle.objective for principle in constitution.principles}
    found = [
        Problem(
            loaded.objectives_place,
            f"objectives.{name}",
            "no principle serves it",
            fix="add one, or delete the objective",
        )
        for name in constitution.objectives
        if name not in served
    ]
    for first, second, share in near_duplicates(constitution.principles):
        got = f"shares {share:.0%} of its words with {first.id!r} ({loaded.places[first.id]})"
        found.append(_about(loaded, second, got, "merge them, or make them differ"))
    contrasted = any(principle.antithesis for principle in constitution.principles if principle.judged)
    for principle in constitution.principles:
        unread = [name for name in _JUDGED if name in principle.model_fields_set]
        if unread and not principle.judged:
            found.append(
                _about(loaded, principle, f"is judged by its check: {', '.join(unread)} is not read", "delete it")
            )
        elif principle.judged and contrasted and not principle.antithesis:
            fix = "add one, as the other principles have"
            found.append(_about(loaded, principle, "has no antithesis for likelihood contrast", fix))
    return found


def _about(loaded: ConstitutionWithPlaces, principle: Principle, got: str, fix: str) -> Problem:
    return Problem(loaded.places[principle.id], f"principles.{principle.id}", got, fix=fix)


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
    return frozenset(words_of(text)) - _SMALL
