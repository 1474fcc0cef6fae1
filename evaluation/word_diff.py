"""What a revision changed, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

_PIECE = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")


class Change(NamedTuple):
    """A stretch of text."""

    kind: str
    """`same`, `del` or `ins`."""
    text: str


def word_diff(before: str, after: str) -> list[Change]:
    """The stretches that make `before` without the inserted ones, and `after` without the deleted ones.

    Time grows with the product of the lengths; callers clip the texts.
    """
    a, b = _PIECE.findall(before), _PIECE.findall(after)
    changes: list[Change] = []
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            changes.append(Change("same", "".join(a[a0:a1])))
            continue
        if a1 > a0:
            changes.append(Change("del", "".join(a[a0:a1])))
        if b1 > b0:
            changes.append(Change("ins", "".join(b[b0:b1])))
    return changes
