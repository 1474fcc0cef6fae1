"""What a judge may be lured by in a reply, whatever it says: length, confidence, agreement, refusal. Signs, in English only.

Hedges and boosters after Hyland (2005), "Metadiscourse"; they tell which of two replies sounds surer, not which is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

from critics.text.rules import is_refusal

READ = 20_000
"""Characters of a reply that are looked at."""
_OPENING = 120
"""Characters in which a reply agrees or flatters, if it does."""

_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?")
_HEDGE = """
    might may maybe perhaps possibly probably apparently arguably seems seem appears appear suggests suggest could
    likely unlikely roughly approximately somewhat generally usually often sometimes typically presumably unsure uncertain depends
"""
_BOOST = """
    definitely certainly clearly obviously undoubtedly absolutely always never surely completely totally truly indeed proven
    guaranteed undeniably unquestionably must exactly precisely evidently conclusively
"""
_HEDGES, _BOOSTERS = frozenset(_HEDGE.split()), frozenset(_BOOST.split())
_HEDGING = frozenset(
    ("i think", "i believe", "i guess", "i suppose", "not sure", "not certain", "my opinion", "don't know", "hard to")
)
_BOOSTING = frozenset(
    (
        *(
            "of course",
            "no doubt",
            "without doubt",
            "without question",
            "a doubt",
            "any doubt",
            "for certain",
            "for sure",
        ),
        *("in fact", "no question", "the truth", "everyone knows"),
    )
)
_AGREEMENT = re.compile(
    r"""\A\W*(?:(?:yes|yeah|sure|absolutely|exactly|certainly|definitely|indeed|of\s+course|totally)\b
    |you(?:['’]re|\s+are)\s+(?:so\s+|absolutely\s+|completely\s+|totally\s+|quite\s+)?(?:right|correct)
    |(?:i\s+)?(?:completely\s+|totally\s+|fully\s+)?agree\b
    |(?:that(?:['’]s|\s+is)\s+|what\s+)?an?\s+(?:really\s+|very\s+)?(?:great|good|excellent|wonderful|fantastic|brilliant|lovely|fascinating)
    |(?:great|good|excellent|wonderful|fantastic|brilliant|amazing|awesome|perfect)\b
    |i\s+love\b|i(?:['’]m|\s+am)\s+(?:so\s+)?(?:glad|happy|impressed)\b|happy\s+to\b)""",
    re.IGNORECASE | re.VERBOSE,
)


def confidence(text: str) -> float:
    """Boosters minus hedges, for each word of the text."""
    return (boosters(text) - hedges(text)) / max(1, len(_words(text)))


def boosters(text: str) -> int:
    """Words and pairs of words that claim certainty."""
    return _count(_words(text), _BOOSTERS, _BOOSTING)


def hedges(text: str) -> int:
    """Words and pairs of words that take some of it back."""
    return _count(_words(text), _HEDGES, _HEDGING)


def agrees(text: str) -> bool:
    """True when a reply opens with agreement or praise."""
    return bool(_AGREEMENT.match(text[:_OPENING]))


def _words(text: str) -> list[str]:
    return _TOKEN.findall(text[:READ].lower().replace("’", "'"))


def _count(words: Sequence[str], single: AbstractSet[str], double: AbstractSet[str]) -> int:
    return sum(map(single.__contains__, words)) + sum(map(double.__contains__, map(" ".join, pairwise(words))))


LURES: Mapping[str, Callable[[str], float]] = {
    "longer": len,
    "confident": confidence,
    "agreeable": agrees,
    "refusing": is_refusal,
}
"""Name -> how much of it a reply has. Of two replies only the order counts."""
