"""Tags of prompts against those of principles: what does not meet is told, for it is often a slip of the pen."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from constitution.errors import suggest
from constitution.principles import Constitution

SHOWN = 10
"""Tags or principles that are named."""


def unmatched(constitution: Constitution, tags: Collection[str]) -> Iterator[str]:
    """A line for the tags that no principle names, and one for the principles that no row meets."""
    named = {tag for p in constitution.principles if p.applies_to for tag in p.applies_to.tags}
    if unknown := sorted(set(tags) - named):
        words = [f"{tag}{suggest(tag, named)}" for tag in unknown]
        yield f"tags that no principle names: {_some(words)}"
    idle = [p.id for p in constitution.principles if p.applies_to and named and set(p.applies_to.tags).isdisjoint(tags)]
    if idle:
        yield f"principles that apply to no row, for no row has their tags: {_some(idle)}"


def _some(words: list[str]) -> str:
    rest = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
