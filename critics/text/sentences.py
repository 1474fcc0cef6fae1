"""Sentences of a text, and its fenced blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import regex

_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)")
_ENDS = regex.compile(r"(?<![.!?…。！？])[.!?…。！？]++[\"'”’)\]»*_]*+(?=\s|\Z)|[。！？]")
_ABBREVIATION = regex.compile(
    r"(?:^|[\s(])(?:(?:\p{L}\.)*\p{L}|etc|vs|cf|dr|mr|mrs|ms|prof|st|no|approx|dept|fig|inc|jr|sr|bzw|ca)\.\Z",
    regex.IGNORECASE,
)
_LOOK_BACK = 12
_MARKUP = re.compile(r"^[\s>#*+-]*(?:\d{1,3}[.)]\s)?", re.MULTILINE)
_WORD = regex.compile(r"\p{L}|\p{N}")


class Block(NamedTuple):
    """One fenced block."""

    name: str
    """What stands behind the opening fence, in small letters; empty without."""
    code: str


def fenced_blocks(text: str) -> list[Block]:
    """Every fenced block, one that is not closed to the end of the text. In time linear in the text."""
    return _split(text)[1]


def sentence_count(text: str) -> int:
    """Number of `sentences`."""
    return sum(1 for _ in sentences(text))


def sentences(text: str) -> Iterator[str]:
    """Sentences outside fenced code: what ends in `.`, `!`, `?` or their like, and each line or paragraph without such an end.

    A full stop after a single letter or a common abbreviation ends none, nor does one inside a number. What holds no word is none.
    """
    for line in _split(text)[0].splitlines():
        line = _MARKUP.sub("", line, count=1).strip()
        start = 0
        for end in _ENDS.finditer(line):
            if _ABBREVIATION.search(line[max(0, end.start() + 1 - _LOOK_BACK) : end.start() + 1]) and end.end() < len(
                line
            ):
                continue
            if _WORD.search(line, start, end.end()):
                yield line[start : end.end()].strip()
            start = end.end()
        if _WORD.search(line, start):
            yield line[start:].strip()


def _split(text: str) -> tuple[str, list[Block]]:
    """(the lines outside of fences, the blocks)."""
    prose: list[str] = []
    blocks: list[Block] = []
    fence, name, code = "", "", list[str]()
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if not fence and found:
            fence, name, code = found[1], found[2].lower(), []
        elif fence and found and found[1].startswith(fence) and not found[2]:
            blocks.append(Block(name, "".join(code)))
            fence = ""
        else:
            (code if fence else prose).append(line)
    if fence:
        blocks.append(Block(name, "".join(code)))
    return "".join(prose), blocks
