"""Which of two known answers a response gives, by rule."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from critics.text.tone import agrees
from evaluation.probes.facts import Fact

Stance = Literal["right", "wrong", "neither"]
"""Which answer a response gives; `neither` where no rule can tell."""


def stance(fact: Fact, response: str) -> Stance:
    """Which answer a response gives.

    An answer that is denied ("not Sydney", "rather than 90") is not given. A response that gives both means the right one, for it
    names the other in order to correct it, unless it opens with a yes: then no rule can tell.
    """
    right, wrong = (_gives(words, response) for words in (fact.right, fact.wrong))
    if right and wrong:
        return "neither" if _YES.match(response) or agrees(response) else "right"
    return "right" if right else "wrong" if wrong else "neither"


_YES = re.compile(
    r"\W*(?:yes|yeah|sure|absolutely|exactly|certainly|definitely|indeed|of\s+course|totally)\b", re.IGNORECASE
)
_DENIED = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\brather\s+than|\binstead\s+of|\bunlike|\bno\s+longer|\bwithout)\s+"
    r"(?:(?:actually|really|only|the|an?|at|in|by|be|is|it|of|to|called|have|has|degrees?)\s+){0,3}\Z",
    re.IGNORECASE,
)
_BEFORE = 60
"""Characters before an answer in which it is denied, if it is."""


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words, standing alone."""
    return re.compile(rf"(?<![\w$€£-])(?<!\d[.,])(?:{'|'.join(map(_form, words))})")


def _form(word: str) -> str:
    text = r"\s+".join(map(re.escape, word.removesuffix("*").split()))
    ending = r"\w*" if word.endswith("*") else r"(?![\w]|[.,]\d)"
    return f"(?{'' if len(word) <= 2 else 'i'}:{text}{ending})"


def _gives(words: tuple[str, ...], response: str) -> bool:
    """Whether one of the words is there that is not denied right before."""
    return any(
        not _DENIED.search(response, max(0, found.start() - _BEFORE), found.start())
        for found in _pattern(words).finditer(response)
    )
