"""Free text -> which of two replies a judge chose.

A verdict is a whole statement ("Output (a) is better", "[[B]]", "The answer is: A", a line that is a label and nothing else), never
a label in passing. The last statement wins, since judges think first and decide at the end. There is no verdict where nothing is
stated, where the deciding sentence names both replies, and where the text opens with one verdict and closes with the other
without saying that it thought again.
"""

from __future__ import annotations

import re
from typing import Literal

Side = Literal["first", "second"]

MAX_CHARACTERS = 200_000
"""Longer texts are read from their end: the verdict stands there."""

_NOUN = r"(?:output|response|reply|answer|assistant|option|candidate|model|completion|summary|choice)"
_LABEL = r"[\"'*_`(\[]{0,4}\b(?P<label>[ab12])\b[\"'*_`)\]]{0,4}"
_NAMED = rf"(?:{_NOUN}\s+{_LABEL}|(?<![\w.])[(\[*\"'`]{{1,4}}(?P<alone>[ab])[)\]*\"'`]{{1,4}}|(?<![\w'’\"-])(?-i:(?P<bare>[AB]))(?![\w'’\"-]))"
_ADVERB = r"(?:\s+(?:still|also|clearly|definitely|slightly|overall|much|significantly|generally|therefore|thus|ultimately|indeed|far|probably|marginally|somewhat|considerably|likely|arguably))*"
_BETTER = rf"(?:the\s+|a\s+|our\s+|my\s+)?(?:one\s+that\s+is\s+)?{_ADVERB}\s*(?:better|best|superior|preferred|preferable|winner|stronger|correct\s+(?:choice|answer|one)|right\s+choice)\b"

_STATEMENTS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\[\[\s*(?P<label>[ab12])\s*\]\]",
        rf"{_NAMED}[*_]{{0,2}}{_ADVERB}\s+(?:is|was|wins\s+as|would\s+be|can\s+be\s+considered|seems\s+to\s+be|seems|appears\s+to\s+be|should\s+be|to\s+be|as){_ADVERB}\s+{_BETTER}",
        rf"{_NAMED}[*_]{{0,2}}{_ADVERB}\s+(?:wins\b|outperforms\b)",
        rf"\b(?:answer|verdict|decision|winner|choice|preference|judge?ment|conclusion|(?:better|best|superior|preferred)(?:\s+(?:one|{_NOUN}))?)"
        rf"(?:\s+(?:for|to|in|of)\s+[^.:\n]{{1,60}}?)?\s*(?:\s+(?:is|was|would\s+be|goes\s+to)\s*:?|:)\s*[*_]{{0,2}}(?:that\s+)?(?:{_NOUN}\s+)?{_LABEL}(?!\s*(?:or|and|/)\s)",
        rf"\b(?:prefer|choose|chose|select|pick|favou?r|go\s+with|vote\s+for|opt\s+for)\s+{_NAMED}",
    )
]
_WHOLE_LINE = re.compile(
    rf"^\W{{0,4}}(?:therefore,?\s+|so,?\s+)?(?:{_NOUN}\s+)?{_LABEL}\W{{0,4}}(?:\([^()]*(?:\([^()]*\)[^()]*)*\)\W{{0,2}})?$", re.IGNORECASE | re.MULTILINE
)
_NEGATED = re.compile(
    r"\b(?:neither|nor|not|isn['’]t|wasn['’]t|cannot|can['’]t|don['’]t|doesn['’]t|whether|if|which|would\s+have\s+been|no)\b",
    re.IGNORECASE,
)
_TIED = re.compile(
    r"\[\[\s*(?:c|tie)\s*\]\]|\bneither\b[^.\n]{0,60}\bbetter\b|\bboth\b[^.,\n]{0,60}\b(?:are|is)\s+(?:equally|better)\b|\ba\s+tie\b",
    re.IGNORECASE,
)
_RECONSIDERED = re.compile(
    r"\b(?:wait|on\s+reflection|on\s+second\s+thoughts?|correction|actually|changed?\s+my\s+mind)\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_SIDES: dict[str, Side] = {"a": "first", "1": "first", "b": "second", "2": "second"}
_BOTH: frozenset[Side] = frozenset(("first", "second"))


def verdict(text: str) -> Side | None:
    """The reply the text declares better, or None.

    `first` is the one listed first to the judge: "A", "(a)" or "1"; `second` is "B", "(b)" or "2".
    """
    sentences = [sentence for sentence in _SENTENCE.split(text[-MAX_CHARACTERS:].strip()) if sentence]
    stated = [_stated(sentence) for sentence in sentences]
    last = next((sides for sides in reversed(stated) if sides), None)
    if last is None or len(last) > 1 or (stated[0] not in (frozenset(), last) and not _RECONSIDERED.search(text)):
        return None
    return next(iter(last))


def _stated(sentence: str) -> frozenset[Side]:
    """Who a sentence declares better: nobody, one, or both (which is no verdict)."""
    if _TIED.search(sentence):
        return _BOTH
    if whole := _WHOLE_LINE.match(sentence):
        return frozenset((_SIDES[whole["label"].lower()],))
    found = (match for pattern in _STATEMENTS for match in pattern.finditer(sentence))
    return frozenset(_side(match) for match in found if not _denied(sentence, match))


def _denied(sentence: str, found: re.Match[str]) -> bool:
    """True when the words before the statement, or inside it, take it back."""
    clause = re.split(r"[,;:]", sentence[: found.start()])[-1]
    return bool(_NEGATED.search(clause) or _NEGATED.search(found.group()))


def _side(found: re.Match[str]) -> Side:
    groups = found.groupdict()
    return _SIDES[next(groups[name] for name in ("label", "alone", "bare") if groups.get(name)).lower()]
