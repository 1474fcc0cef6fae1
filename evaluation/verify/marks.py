"""Marks in texts that do not belong there: turns of others, a judge's words, failures kept as text, broken letters.

All rows are searched. A cheap look for characters that such marks have comes first, since nearly all texts have none.
"""

from __future__ import annotations

import re

_TURN = re.compile(r"^\s{0,4}(?:Human|User|Assistant|HUMAN|USER|ASSISTANT)\s?:", re.MULTILINE)
_JUDGE = re.compile(
    r"\[\[\s?[ABC12]\s?\]\]|</?reply_[ab]\b|\[(?:The )?(?:Start|End) of (?:Assistant|Response|Answer|Output)"
    r"|\b(?:Output|Response|Assistant|Answer|Reply)\s\(?[aAbB12]\)?\s(?:is|was)\s(?:the\s)?(?:better|superior|preferred|best)\b"
    r"|\b(?:[Mm]y )?[Ff]inal (?:verdict|judge?ment)\b|^(?:Preferred|Verdict|Winner)\s?:\s?\W?(?:[AB012]|Response|Output)\b",
    re.MULTILINE,
)
_JUDGED = (
    "[[",
    "reply_",
    "etter",
    "uperior",
    "erdict",
    "inal judg",
    "referred",
    "inner",
    "best",
    "[The",
    "[Start",
    "[End",
)
"""Of these, each of the judge's marks has one."""
_GARBLED = re.compile("\ufffd|â€|Ã[\x80-\xbf©¨¡¶¼¤±³­]|Â[\xa0-\xbf]")
_FAILURE = re.compile(
    r"\W{0,3}(?:(?:none|null|nan|n/a|undefined|error|failed|timeout)\W{0,3}$"
    r"|(?:api|server|http|request|internal|connection)?\s?error\b\s?[:(\d]|exception\b|traceback \(most"
    r"|(?:openai|anthropic|litellm|requests|httpx)\.\w+|rate ?limit (?:exceeded|reached|error)|request timed out"
    r"|internal server error|bad gateway|service unavailable|no (?:response|output|answer)\W{0,3}$|50[0234]\b|429\b)",
    re.IGNORECASE,
)
_LONGEST_FAILURE = 400
"""Characters of a text that is nothing but an error's message."""


def has_turn(text: str) -> bool:
    """A line that opens another turn."""
    likely = "Human" in text or "User" in text or "Assistant" in text or "ASSISTANT" in text or "USER" in text
    return likely and bool(_TURN.search(text))


def has_judge(text: str) -> bool:
    """Words of a judge about two responses."""
    return any(part in text for part in _JUDGED) and bool(_JUDGE.search(text))


def is_garbled(text: str) -> bool:
    """Letters that were read in another encoding."""
    return not text.isascii() and bool(_GARBLED.search(text))


def is_failure(text: str) -> bool:
    """An error's message in place of a text."""
    return len(text) < _LONGEST_FAILURE and _FAILURE.match(text) is not None
