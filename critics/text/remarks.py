"""Remarks about a response, where the response itself was asked for: a critique, a comment after it, an echo of what was asked."""

from __future__ import annotations

import re

from constitution.words import shingles, words_of
from critics.text.needed import Phrase, folded

_NOUN = r"(?:reply|response|revision|critique)"
_OWN = r"(?:original|revised|previous|above|first|better|improved|new|current|given|final)"
_WHO = r"(?:user|assistant|model|speaker|author|writer)(?:'s|’s)"
_VERB = (
    r"(?:is|isn['’]t|was|are|were|does|doesn['’]t|did|do|has|have|had|should|could|can|would|will|might|must|needs?|lacks?|fails?"
    r"|contains?|provides?|addresses|follows?|seems|appears|uses|makes|shows|offers|includes|acknowledges|violates|adheres|meets"
    r"|sounds|answers|gives|states|mentions)"
)
_REMARK = re.compile(
    rf"""\b(?:the|this|that|your|my|our)\s+(?:{_WHO}\s+)?(?:{_OWN}\s+)?{_NOUN}\s+(?:\w+ly\s+)?{_VERB}\b
        | \bthis\s+is\s+(?:a|an|the)\s+(?:[\w-]+,?\s+){{0,6}}{_NOUN}\b
        | \bthe\s+{_WHO}\s+(?:\w+\s+){{0,2}}(?:{_NOUN}|answer|message)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_SPOKEN_OF = Phrase(rf"\b(?:replies|{_NOUN}s?)\b")
GRAM = 4
"""Words of the n-grams by which two texts are held against each other."""
WORDS = 3000
"""Words of a text that are looked at."""
ECHO = 0.6
"""Share of a text's n-grams that another has, from which it is said again."""


def without_remarks(text: str, before: str) -> str | None:
    """The text without paragraphs at its ends that speak about a response; None where more of it does, or all.

    before: the conversation and the response that is rewritten. Where they speak of responses themselves, so may the text.
    """
    if _SPOKEN_OF.matches(before, folded(before)):
        return text
    paragraphs = text.split("\n\n")
    while paragraphs and _REMARK.search(paragraphs[-1]):
        paragraphs.pop()
    while paragraphs and _REMARK.search(paragraphs[0]):
        paragraphs.pop(0)
    kept = "\n\n".join(paragraphs).strip()
    return kept if kept and not _REMARK.search(kept) else None


def echoes(text: str, source: str) -> bool:
    """True where the text says the source again, as a whole: most of either is in the other."""
    return min(_shared(text, source), _shared(source, text)) >= ECHO


def _shared(text: str, other: str) -> float:
    """Share of the text's n-grams that the other has."""
    own, others = (shingles(words_of(one, WORDS), GRAM) for one in (text, other))
    return len(own & others) / len(own) if own else 0.0
