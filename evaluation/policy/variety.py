"""How much the samples of one prompt differ from each other: what preference training is known to take away (per-input diversity of
Kirk et al. 2023, arXiv:2310.06452). Pure.

By words: pairs of samples that share few of their words and word pairs are apart. By vectors: the cosine between the samples'
hashed n-grams of letters within words, 3 to 5 long (as the subwords of Bojanowski et al. 2017, arXiv:1607.04606, into a fixed
number of places with a sign each, Weinberger et al. 2009, arXiv:0902.2206). That knows other forms of a word, and no synonyms; it
needs no model.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

from constitution.words import ngrams, words_of
from evaluation.statistics import Floats

PLACES = 4096
_LETTERS = (3, 4, 5)


class Variety(NamedTuple):
    """Of the samples of one prompt, from 0, all alike, to 1, nothing in common."""

    words: float
    vectors: float


def variety(samples: Sequence[str]) -> Variety | None:
    """Means over all pairs of samples; None for fewer than two. Two empty samples are alike."""
    if len(samples) < 2:
        return None
    sets = [_grams(text) for text in samples]
    vectors = [_vector(text) for text in samples]
    pairs = [*itertools.combinations(range(len(samples)), 2)]
    return Variety(
        float(np.mean([1 - _jaccard(sets[i], sets[j]) for i, j in pairs])),
        float(np.mean([1 - _cosine(vectors[i], vectors[j]) for i, j in pairs])),
    )


def _grams(text: str) -> frozenset[tuple[str, ...]]:
    words = words_of(text)
    return frozenset(gram for n in (1, 2) for gram in ngrams(words, n))


def _jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    every = one | other
    return len(one & other) / len(every) if every else 1.0


def _vector(text: str) -> Floats:
    """[PLACES], of length 1; an n-gram counts by the square root of its number, so that none outweighs all others."""
    found = Counter(
        part[i : i + n]
        for word in words_of(text)
        for part in (f"<{word}>",)
        for n in _LETTERS
        for i in range(len(part) - n + 1)
    )
    vector = np.zeros(PLACES)
    for gram, count in found.items():
        place = crc32(gram.encode())
        vector[place % PLACES] += math.sqrt(count) * (1 if place >> 31 else -1)
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _cosine(one: Floats, other: Floats) -> float:
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    return min(1.0, max(0.0, float(one @ other)))
