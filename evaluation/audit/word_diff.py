"""What a revision changed, word by word."""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher
from typing import NamedTuple

MOST_MATCHES = 50_000
"""Places in both texts that hold the same piece, at most. Comparing takes time by their number, and texts that say one word
thousands of times have millions."""

_PIECE = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")


class Change(NamedTuple):
    """A stretch of text."""

    kind: str
    """`same`, `del` or `ins`."""
    text: str


def word_diff(before: str, after: str) -> list[Change]:
    """The stretches that make `before` without the inserted ones, and `after` without the deleted ones.

    Texts with more than MOST_MATCHES matching places are not compared: all of `before` was deleted, all of `after` inserted.
    """
    if before == after:
        return [Change("same", before)] if before else []
    a, b = _PIECE.findall(before), _PIECE.findall(after)
    often = Counter(b)
    if sum(often[piece] for piece in a) > MOST_MATCHES:
        return [Change("del", before), Change("ins", after)]
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
