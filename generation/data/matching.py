"""Tags and columns of prompts against those of principles: what does not meet is told, for it is often a slip of the pen."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from constitution.errors import suggest
from constitution.principles import Constitution

SHOWN = 10
"""Tags or principles that are named."""


def unmatched(constitution: Constitution, tags: Collection[str], columns: Collection[str]) -> Iterator[str]:
    """A line each for tags that no principle names, for principles that no row meets, and for columns that only rules know.

    columns: names of those that any row has, beside what every prompt is made of.
    """
    named = {tag for p in constitution.principles if p.applies_to for tag in p.applies_to.tags}
    if unknown := sorted(set(tags) - named):
        words = [f"{tag}{suggest(tag, named)}" for tag in unknown]
        yield f"tags that no principle names: {_some(words)}"
    idle = [p.id for p in constitution.principles if p.applies_to and named and set(p.applies_to.tags).isdisjoint(tags)]
    if idle:
        yield f"principles that apply to no row, for no row has their tags: {_some(idle)}"
    if missing := unread(constitution, columns):
        words = [f"{name}{suggest(name, columns)}" for name in missing]
        yield f"columns that rules of {constitution.name} read and no row has: {_some(words)}"


def unread(constitution: Constitution, columns: Collection[str]) -> list[str]:
    """Columns that its rules read and no row has: such rules never vote."""
    return sorted(constitution.columns.difference(columns))


def _some(words: list[str]) -> str:
    rest = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
