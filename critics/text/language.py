"""Which script and which language a text is in, told by its letters and its commonest words. Rough: it would rather not know."""

from __future__ import annotations

import re
from collections import Counter

import regex

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
_WORDS = {
    "english": "a the of and to in is are was be it for on with as at by this that you your i my do how what who where when why"
    " can not have from or an",
    "german": "der die das und ist nicht ein eine einen zu mit den von auf für sich dem auch es als wie im du sie aber oder er ich",
    "french": "le la les des est et une un pas que qui dans pour en du ce sur avec il je vous au ne plus on par mais ou",
    "spanish": "el la los las que y en un una es por con para no del se lo su al como más pero de te tu",
    "italian": "il lo la gli che di e un una è per non con del della sono si nel più le ma anche da ci",
    "portuguese": "o os as que e um uma é não com para por do da em no na se mais ao de você seu",
    "dutch": "de het een en van is dat niet te op met voor zijn aan je ik maar ook er die dit wat",
}
_SPEAKERS = {
    word: [name for name, words in _WORDS.items() if word in words.split()]
    for word in {word for words in _WORDS.values() for word in words.split()}
}
"""Word -> the languages it is common in."""
_WORD = re.compile(r"[^\W\d_]+")
_SAMPLE = 2_000
"""Characters that are looked at."""
_LEAST_LETTERS = 5
_LEAST_WORDS = 5
_LEAST_SHARE = 0.15
_LEAD = 1.5
"""A language needs so many times the common words of the next."""

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
        return "latin" if sum(map(len, _WORD.findall(sample))) >= _LEAST_LETTERS else None
    counts = {name: len(letters.findall(sample)) for name, letters in _LETTERS.items()}
    name = max(counts, key=lambda key: counts[key])
    return name if counts[name] >= _LEAST_LETTERS and 2 * counts[name] > sum(counts.values()) else None


def language(text: str) -> str | None:
    """The language of a text in Latin script, by its share of the commonest words; None where that does not tell."""
    words = _WORD.findall(text[:_SAMPLE].lower())
    if len(words) < _LEAST_WORDS:
        return None
    counts = Counter(name for word in words if word in _SPEAKERS for name in _SPEAKERS[word])
    (first, most), (_, next_most) = [*counts.most_common(2), ("", 0), ("", 0)][:2]
    return first if most >= _LEAST_SHARE * len(words) and most >= _LEAD * next_most and most else None


def strays(reply: str, prompt: str) -> bool:
    """True when a reply is surely in another script or language than the prompt, which names no language."""
    scripts = script(reply), script(prompt)
    if None in scripts:
        return False
    languages = (language(reply), language(prompt)) if scripts[0] == scripts[1] else scripts
    return None not in languages and languages[0] != languages[1] and not _ASKS_FOR_ONE.search(prompt)
