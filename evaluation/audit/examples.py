"""The pairs that a page shows to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from evaluation.audit.data import Audit
from evaluation.audit.pairs import KINDS, VoteLine, lines
from evaluation.audit.word_diff import Change, word_diff

SHOWN = 2500
"""Characters of a text that are shown."""


class Edit(NamedTuple):
    """A revision and what it changed."""

    before: str
    """Id of what it revises."""
    after: str
    changes: list[Change]


class Example(NamedTuple):
    """One pair, all texts clipped."""

    row: Mapping[str, Any]
    """The preference row's plain columns."""
    prompt: list[tuple[str, str]]
    """(role, text)"""
    chosen: str
    rejected: str
    votes: list[tuple[str, VoteLine]]
    critiques: list[tuple[str, str, str]]
    """(response, principle, text)"""
    edits: list[Edit]


def examples(audit: Audit) -> list[tuple[str, list[Example]]]:
    """(kind, pairs); a pair is shown once, under the first kind that has it."""
    seen: set[tuple[str, str]] = set()
    found = []
    for kind in KINDS:
        fresh = [row for row in audit.pairs.read[kind] if (row["chosen_id"], row["rejected_id"]) not in seen]
        seen |= {(row["chosen_id"], row["rejected_id"]) for row in fresh}
        if fresh:
            found.append((kind, [_example(audit, row) for row in fresh]))
    return found


def clip(text: str | None, shown: int = SHOWN) -> str:
    """The start of a text, and how much is not shown."""
    text = text or ""
    return text if len(text) <= shown else f"{text[:shown]} … ({len(text) - shown:,} more characters)"


def _example(audit: Audit, row: Mapping[str, Any]) -> Example:
    lineage = [name for side in ("chosen_id", "rejected_id") for name in _lineage(audit, row[side])]
    names = [*dict.fromkeys(lineage)]
    votes = sorted(((audit.name(vote.voter), vote) for vote in lines(row["votes"])), key=lambda v: (-v[1].value, v[0]))
    critiques = [
        (name, critique["principle"], clip(critique["text"]))
        for name in names
        for critique in audit.critiques.get(name, ())
    ]
    return Example(
        row={key: row[key] for key in row if key not in ("prompt", "chosen", "rejected", "votes")},
        prompt=[(message["role"], clip(message["content"])) for message in row["prompt"]],
        chosen=_response(row["chosen"]),
        rejected=_response(row["rejected"]),
        votes=votes,
        critiques=critiques,
        edits=[edit for name in names if (edit := _edit(audit, name))],
    )


def _response(messages: list[Mapping[str, Any]]) -> str:
    """What a response says; then the calls it makes."""
    last = messages[-1]
    calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in last.get("tool_calls") or ()]
    return clip("\n".join([*([last["content"]] if last["content"] else ()), *calls]))


def _lineage(audit: Audit, name: str | None) -> list[str]:
    """A response and what it was revised from, oldest first."""
    names: list[str] = []
    while name in audit.responses.texts and name not in names:
        names.insert(0, name)
        name = audit.responses.texts[name]["parent"]
    return names


def _edit(audit: Audit, name: str) -> Edit | None:
    row = audit.responses.texts[name]
    before = audit.responses.texts.get(row["parent"] or "")
    if before is None:
        return None
    return Edit(before["id"], name, word_diff(clip(before["text"]), clip(row["text"])))
