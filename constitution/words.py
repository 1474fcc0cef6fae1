"""Words of a text, the same for everything that counts or compares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import regex

_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|[\p{L}\p{N}][\p{L}\p{N}\p{M}'’_-]*"
)
"""A run of letters and digits, with the marks, apostrophes, hyphens and underscores inside it; in scripts that are written
without spaces, each character."""
_AT_ONCE = 10_000
"""3-grams that are counted before other threads may go on."""


def words_of(text: str, most: int | None = None) -> list[str]:
    """The words of a text in lower case, at most the first `most`."""
    found = _WORD.findall(text) if most is None else (match.group() for match in islice(_WORD.finditer(text), most))
    return [word.lower() for word in found]


def word_count(text: str) -> int:
    """Number of words."""
    return len(_WORD.findall(text))


def ngrams(found: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Each n words in a row; none where there are fewer."""
    return zip(*(found[i:] for i in range(n)), strict=False)


def shingles(found: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """The distinct n-grams by which texts are held against each other; of fewer than n words, all of them as one."""
    return set(ngrams(found, min(n, len(found)))) if found else set()


def repetition(text: str) -> float:
    """Share of word 3-grams that stood in the text before, in [0, 1): the same three words, whatever their case."""
    grams, seen, count = ngrams(words_of(text), 3), set[tuple[str, ...]](), 0
    while some := list(islice(grams, _AT_ONCE)):
        seen.update(some)
        count += len(some)
    return 1 - len(seen) / count if count else 0.0
