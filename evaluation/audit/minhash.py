"""Near-duplicates among very many texts, estimated: MinHash signatures, whose bands say which texts are worth comparing.

Broder 1997, "On the resemblance and containment of documents", with 8 bits a value, of which one in 256 is equal by chance (Li and
König 2010, "b-bit minwise hashing"); bands as in Leskovec, Rajaraman and Ullman, "Mining of massive datasets", chapter 3. In each
band a text is compared with the first of its group and with a neighbor that shares the next band too, if any does, so that time and
memory grow as the texts do: 90 bytes each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from heapq import nlargest
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS, BANDS = 4, 12
"""Values of a band, and bands. Texts of a Jaccard index of 0.8 share a band with probability 0.998, of 0.5 with 0.54."""
SIGNATURE = ROWS * BANDS
PIECE = 1000
"""Texts whose signatures are made, or compared, at a time."""
_DICE = np.random.default_rng(0)
_FACTORS = _DICE.integers(0, 1 << 63, SIGNATURE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_TERMS = _DICE.integers(0, 1 << 63, SIGNATURE, dtype=np.uint64)

Signatures = NDArray[np.uint8]
"""[texts, SIGNATURE]"""
Places = NDArray[np.uint32]


class Near(NamedTuple):
    """A text that nearly repeats an earlier one, by their places."""

    jaccard: float
    """Estimated."""
    place: int
    earlier: int


def signatures(texts: Iterable[array[int]]) -> Signatures:
    """Of each text. texts: its n-grams as 64-bit numbers; none gives a signature of zeros, which is compared with no other."""
    waiting = iter(texts)
    found = bytearray()  # which grows where it is
    while piece := [text or array("Q", [0]) for text in islice(waiting, PIECE)]:
        starts = np.cumsum([0, *map(len, piece[:-1])])
        grams = np.concatenate([np.frombuffer(text, np.uint64) for text in piece])
        least = [
            np.minimum.reduceat(grams * factor + term, starts) for factor, term in zip(_FACTORS, _TERMS, strict=True)
        ]
        made = (np.stack(least, axis=1) >> np.uint64(32)).astype(np.uint8)
        made[[text[0] == 0 and len(text) == 1 for text in piece]] = 0
        found += made.tobytes()
    return np.frombuffer(found, np.uint8).reshape(-1, SIGNATURE)


def near(texts: Iterable[array[int]], least: float, listed: int | None) -> tuple[int, list[Near]]:
    """How many texts nearly repeat an earlier one, and the most similar of them. listed: how many; all, in order, where None."""
    found = signatures(texts)
    best, earlier = np.zeros(len(found), np.float32), np.zeros(len(found), np.uint32)
    bands = found.view(np.uint32)
    for band in range(BANDS):
        keys = bands[:, band].astype(np.uint64) << np.uint64(32)
        keys |= bands[:, (band + 1) % BANDS]
        for one, other in _met(keys):
            places, firsts = np.maximum(one, other), np.minimum(one, other)
            alike = (found[places] == found[firsts]).mean(axis=1, dtype=np.float32)
            alike[~found[places].any(axis=1)] = 0
            better = alike > best[places]
            best[places[better]], earlier[places[better]] = alike[better], firsts[better]
    repeats = np.flatnonzero(best >= least)
    all_of_them = (Near(float(best[i]), int(i), int(earlier[i])) for i in repeats)
    return len(repeats), [*all_of_them] if listed is None else nlargest(listed, all_of_them)


def _met(keys: NDArray[np.uint64]) -> Iterator[tuple[Places, Places]]:
    """Pairs of texts of an equal upper half of their keys, in pieces: each with the first that has it, and the next lower key's."""
    order = np.argsort(keys, kind="stable").astype(np.uint32)
    if not len(order):
        return
    starts = (keys[order] >> np.uint64(32)).astype(np.uint32)
    begins = np.flatnonzero(np.diff(starts, prepend=~starts[:1]))
    firsts = np.repeat(np.minimum.reduceat(order, begins), np.diff(begins, append=len(order)))
    before = np.concatenate([order[:1], order[:-1]])
    before[begins] = order[begins]
    for met in (firsts, before):
        for start in range(0, len(order), PIECE):
            places, others_met = order[start : start + PIECE], met[start : start + PIECE]
            own = places != others_met
            yield places[own], others_met[own]
