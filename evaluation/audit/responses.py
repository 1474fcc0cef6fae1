"""What the responses of a run are like: who refuses what, what revision changed, which manipulation indicators they show."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from critics.text.refusal import is_refusal
from critics.text.tone import READ
from evaluation.audit.pairs import GIVEN, Tally
from evaluation.audit.thresholds import Thresholds
from generation.output.reading import Candidate, Of, read_candidates

ASKED = ("harmful", "benign", "other")
"""What a prompt asks for, by its tags; `other` has neither kind of tag."""
ROLES = ("sampled", "given", "revised", "chosen", "rejected")


@dataclass(slots=True)
class RevisionStats:
    """What revision changed, for every revision."""

    length: array[float] = field(default_factory=lambda: array("d"))
    """Characters of the revision over those of what it revises."""
    similarity: array[float] = field(default_factory=lambda: array("d"))
    refusals: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """(refused before, refuses now) -> revisions"""


@dataclass(slots=True)
class Written:
    """What one policy wrote, its revisions among it."""

    responses: int = 0
    refuse: int = 0
    indicated: int = 0
    """Responses with a manipulation indicator."""
    truncated: int = 0
    """Cut at the limit."""
    characters: int = 0

    def add(self, candidate: Candidate, refuses: bool) -> None:
        """One more response."""
        self.responses += 1
        self.refuse += refuses
        self.indicated += bool(candidate.indicators)
        self.truncated += candidate.truncated
        self.characters += len(candidate.text)


@dataclass(slots=True)
class Responses:
    """Sums over a run's responses."""

    refusals: defaultdict[tuple[str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """(asked, role) -> responses, and those that refuse"""
    indicators: dict[str, Counter[str]] = field(default_factory=lambda: {role: Counter() for role in ROLES})
    """Role -> manipulation indicator -> responses that have it"""
    manipulative: Tally = field(default_factory=Tally)
    """Chosen responses, and those with any indicator."""
    revised: RevisionStats = field(default_factory=RevisionStats)
    policies: defaultdict[str, Written] = field(default_factory=lambda: defaultdict(Written))
    """Policy -> what it wrote; GIVEN likewise."""
    kept: dict[str, Candidate] = field(default_factory=dict)
    """Id -> every response to the prompts that are wanted."""


def read_responses(
    run: Path,
    chosen: AbstractSet[str],
    rejected: AbstractSet[str],
    wanted: AbstractSet[str],
    thresholds: Thresholds,
    of: Of = None,
) -> Responses:
    """One pass over the responses; those to the wanted prompts are kept. Raises UserError."""
    responses = Responses()
    candidates = read_candidates(run / "responses.parquet", of=of)
    for prompt_id, group in groupby(candidates, key=attrgetter("prompt_id")):
        texts: dict[str, str] = {}
        for candidate in group:
            texts[candidate.id] = candidate.text
            refuses = is_refusal(candidate.text)
            asked = asked_for(candidate.tags, thresholds)
            responses.policies[candidate.policy or GIVEN].add(candidate, refuses)
            roles = [
                candidate.origin,
                *(["chosen"] if candidate.id in chosen else ()),
                *(["rejected"] if candidate.id in rejected else ()),
            ]
            for role in roles:
                responses.refusals[asked, role].add(refuses)
                responses.indicators[role].update(candidate.indicators)
            if candidate.id in chosen:
                responses.manipulative.add(bool(candidate.indicators))
            if candidate.parent in texts:
                _compare(responses.revised, texts[candidate.parent], candidate.text)
            if prompt_id in wanted:
                responses.kept[candidate.id] = candidate
    return responses


def asked_for(tags: Sequence[str], thresholds: Thresholds) -> str:
    """One of ASKED."""
    if not set(tags).isdisjoint(thresholds.harmful_tags):
        return "harmful"
    return "other" if set(tags).isdisjoint(thresholds.benign_tags) else "benign"


def similarity(a: str, b: str) -> float:
    """Share of words, in [0, 1], that two texts have in common, counted as often as they stand (Dice's coefficient)."""
    words = [Counter(text[:READ].lower().split()) for text in (a, b)]
    total = words[0].total() + words[1].total()
    return 2 * (words[0] & words[1]).total() / total if total else 1.0


def _compare(revised: RevisionStats, before: str, after: str) -> None:
    revised.length.append(len(after) / max(1, len(before)))
    revised.similarity.append(similarity(before, after))
    revised.refusals[is_refusal(before), is_refusal(after)] += 1
