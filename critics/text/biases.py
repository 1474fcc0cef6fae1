"""Judge biases: what a judge may prefer whatever a response says: length, confidence, agreement (sycophancy), refusal.

Measured by wording, in English only. Hedges and boosters after Hyland (2005), "Metadiscourse"; they tell which of two responses
sounds surer, not which is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from constitution.words import ngrams, words_of
from critics.text.refusal import is_refusal
from critics.text.tone import READ, agrees

_HEDGES = frozenset(
    {
        *(
            "might",
            "may",
            "maybe",
            "perhaps",
            "possibly",
            "probably",
            "apparently",
            "arguably",
            "seems",
            "seem",
            "appears",
        ),
        *(
            "appear",
            "suggests",
            "suggest",
            "could",
            "likely",
            "unlikely",
            "roughly",
            "approximately",
            "somewhat",
            "generally",
        ),
        *("usually", "often", "sometimes", "typically", "presumably", "unsure", "uncertain", "depends"),
    }
)
_BOOSTERS = frozenset(
    {
        *("definitely", "certainly", "clearly", "obviously", "undoubtedly", "absolutely", "always", "never", "surely"),
        *("completely", "totally", "truly", "indeed", "proven", "guaranteed", "undeniably", "unquestionably", "must"),
        *("exactly", "precisely", "evidently", "conclusively"),
    }
)
_HEDGING = frozenset(
    {
        *(("i", "think"), ("i", "believe"), ("i", "guess"), ("i", "suppose"), ("not", "sure"), ("not", "certain")),
        *(("my", "opinion"), ("don't", "know"), ("hard", "to")),
    }
)
_BOOSTING = frozenset(
    {
        *(("of", "course"), ("no", "doubt"), ("without", "doubt"), ("without", "question"), ("a", "doubt")),
        *(("any", "doubt"), ("for", "certain"), ("for", "sure"), ("in", "fact"), ("no", "question")),
        *(("the", "truth"), ("everyone", "knows")),
    }
)


def confidence(text: str) -> float:
    """Boosters minus hedges, for each word of the text."""
    return (boosters(text) - hedges(text)) / max(1, len(_words(text)))


def boosters(text: str) -> int:
    """Number of words and pairs of words that claim certainty."""
    return _count(_words(text), _BOOSTERS, _BOOSTING)


def hedges(text: str) -> int:
    """Number of words and pairs of words that take some of it back."""
    return _count(_words(text), _HEDGES, _HEDGING)


def _words(text: str) -> list[str]:
    return [word.strip("'-_") for word in words_of(text[:READ].replace("’", "'"))]


def _count(found: Sequence[str], single: AbstractSet[str], double: AbstractSet[tuple[str, ...]]) -> int:
    return sum(map(single.__contains__, found)) + sum(map(double.__contains__, ngrams(found, 2)))


BIASES: Mapping[str, Callable[[str], float]] = {
    "length": len,
    "confidence": confidence,
    "agreement": agrees,
    "refusal": is_refusal,
}
"""Name -> how much of it a response has. Of two responses only the order counts."""
