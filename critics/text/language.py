"""Which script and which language a text is in.

The script is told by counting letters. The language is told by py3langid, a naive Bayes classifier over byte n-grams for 140
languages (Lui and Baldwin 2012, "langid.py: An off-the-shelf language identification tool"), and only where it is sure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import regex

SURE = 0.9
"""Least probability of a language. Below it the text is too short, or mixes languages, or is none."""

_SCRIPTS = {
    "latin": r"\p{Latin}",
    "cyrillic": r"\p{Cyrillic}",
    "greek": r"\p{Greek}",
    "arabic": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}",
    "devanagari": r"\p{Devanagari}",
    "thai": r"\p{Thai}",
    "east_asian": r"[\p{Han}\p{Hiragana}\p{Katakana}]",
    "hangul": r"\p{Hangul}",
}
_OTHER = re.compile("[\u0370-\u1dff\u2e80-\ud7ff\uf900-\ufdff]")
"""Ranges with letters of other scripts than Latin; most texts have none."""
_LETTERS = {name: regex.compile(pattern) for name, pattern in _SCRIPTS.items()}
_LETTER = regex.compile(r"\p{L}")
_SAMPLE = 2_000
"""Characters that are looked at."""
_LEAST_LETTERS = 5
_NONE = "zxx"
"""ISO 639 code of a text without language: numbers, signs."""

_ENGLISH = re.compile(
    r"\b(?:the|and|th(?:at|is|ese|ose|ey|em|eir|ere|an|en)|with|from|what|which|when|where|who|why|how|would|could|should|have|been"
    r"|your?|are|were|because|about|into|some|any|only|other|does|its?|if|my|our|can)\b"
)
"""Common English words that are rare in other languages."""
_WORD = re.compile(r"[a-z]+")
_PLAINLY = 0.12
"""Share of them that no text in another language has; English prose has a sixth."""
_LEAST_WORDS = 3

_ASKS_FOR_ONE = regex.compile(
    r"translat|language|übersetz|tradu|перев|翻译|翻譯|翻訳"
    r"|\b(?:english|german|french|spanish|italian|portuguese|dutch|russian|chinese|mandarin|japanese|korean|arabic|hebrew|hindi|thai"
    r"|greek|latin|turkish|polish|swedish|ukrainian|vietnamese|deutsch|français|español|italiano)\b",
    regex.IGNORECASE,
)


def script(text: str) -> str | None:
    """The script that most letters are in, or None where there are fewer than five letters or none has most."""
    sample = text[:_SAMPLE]
    if not _OTHER.search(sample):
        return "latin" if len(_LETTER.findall(sample)) >= _LEAST_LETTERS else None
    counts = {name: len(letters.findall(sample)) for name, letters in _LETTERS.items()}
    name = max(counts, key=lambda key: counts[key])
    return name if counts[name] >= _LEAST_LETTERS and 2 * counts[name] > sum(counts.values()) else None


def language(text: str) -> str | None:
    """ISO 639 code of a text's language; None where its probability is under SURE."""
    code, probability = _classifier()(text[:_SAMPLE])
    return code if probability >= SURE and code != _NONE else None


def other_language(response: str, prompt: str) -> bool:
    """True when a response is surely in another script or language than the prompt, which names no language."""
    scripts = script(response), script(prompt)
    if None in scripts or _ASKS_FOR_ONE.search(prompt):
        return False
    if scripts[0] != scripts[1]:
        return True
    if _plainly_english(prompt) and _plainly_english(response):
        return False  # without the classifier, which takes half a second to load
    asked = language(prompt)
    return asked is not None and language(response) not in (None, asked)


def _plainly_english(text: str) -> bool:
    """True where so many words are English ones that no classifier need be asked."""
    sample = text[:_SAMPLE].lower()
    return len(_ENGLISH.findall(sample)) >= max(_LEAST_WORDS, _PLAINLY * len(_WORD.findall(sample)))


def forget() -> None:
    """Give back the 75 MB of the classifier, which is loaded again where a text needs it."""
    _classifier.cache_clear()


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    """Loaded at first use: the model is 4.6 MB and takes half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier.classify  # type: ignore[no-any-return]
