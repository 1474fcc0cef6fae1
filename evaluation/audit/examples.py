"""The pairs that a page shows to be read."""

from __future__ import annotations

from typing import NamedTuple

from constitution.records import Vote
from critics.transcript import message_text
from evaluation.audit.data import Audit
from evaluation.audit.pairs import KINDS
from evaluation.audit.word_diff import Change, word_diff
from generation.output.reading import Pair
from generation.output.results import lineage

SHOWN = 2500
"""Characters of a text that are shown."""


class Edit(NamedTuple):
    """A revision and what it changed."""

    before: str
    """Id of what it revises."""
    after: str
    changes: list[Change]


class Example(NamedTuple):
    """One pair, with its texts as they are shown: clipped."""

    pair: Pair
    prompt: list[tuple[str, str]]
    """(role, text)"""
    chosen: str
    rejected: str
    votes: list[tuple[str, Vote]]
    """The voter's name, and its vote with a = chosen; those for chosen first."""
    critiques: list[tuple[str, str, str]]
    """(response, principle, text)"""
    edits: list[Edit]


def examples(audit: Audit) -> list[tuple[str, list[Example]]]:
    """(kind, pairs); a pair is shown once, under the first kind that has it."""
    seen: set[tuple[str, str]] = set()
    found = []
    for kind in KINDS:
        fresh = [pair for pair in audit.pairs.read[kind] if (pair.chosen_id, pair.rejected_id) not in seen]
        seen |= {(pair.chosen_id, pair.rejected_id) for pair in fresh}
        if fresh:
            found.append((kind, [_example(audit, pair) for pair in fresh]))
    return found


def clip(text: str, shown: int = SHOWN) -> str:
    """The start of a text, and how much is not shown."""
    return text if len(text) <= shown else f"{text[:shown]} … ({len(text) - shown:,} more characters)"


def _example(audit: Audit, pair: Pair) -> Example:
    kept = audit.responses.kept
    names = [*dict.fromkeys((*lineage(kept, pair.chosen_id), *lineage(kept, pair.rejected_id)))]
    votes = [(audit.name((vote.judge, vote.method, vote.principle)), vote) for vote in pair.votes]
    critiques = [
        (name, critique.principle, clip(critique.text)) for name in names for critique in audit.critiques.get(name, ())
    ]
    return Example(
        pair=pair,
        prompt=[(message.role, clip(message_text(message))) for message in pair.prompt],
        chosen=clip(message_text(pair.chosen)),
        rejected=clip(message_text(pair.rejected)),
        votes=sorted(votes, key=lambda vote: (-vote[1].value, vote[0])),
        critiques=critiques,
        edits=[edit for name in names if (edit := _edit(audit, name))],
    )


def _edit(audit: Audit, name: str) -> Edit | None:
    after = audit.responses.kept[name]
    before = audit.responses.kept.get(after.parent or "")
    return before and Edit(before.id, name, word_diff(*(clip(message_text(one.message)) for one in (before, after))))
