"""Rows that repeat others, contradict them, or go round in circles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.verify.finding import RARE, Finding, Severity, above, graded
from evaluation.verify.scan import Scan

Hashes = NDArray[np.uint64]
TRIPLES = 100_000
"""Triples of responses that are looked at for circles, at most."""
CYCLIC = (0.05, 0.15)
"""Shares of triples that go round in circles of which judges make fewer; labels at random make 25%."""


def find(scan: Scan) -> Iterator[Finding]:
    """duplicates, contradictions, cycles."""
    prompt, chosen, rejected = (scan.numbers.of(name).astype(np.uint64) for name in ("prompt", "chosen", "rejected"))
    low, high = np.minimum(chosen, rejected), np.maximum(chosen, rejected)
    pair = _mixed(prompt, low, high)
    _, first, counts = np.unique(pair, return_index=True, return_counts=True)
    group = np.unique(pair, return_inverse=True)[1]
    sided = chosen == low
    up = np.bincount(group, weights=sided, minlength=len(counts)).astype(np.int64)
    both = (up > 0) & (up < counts) & (low[first] != high[first])
    distinct = _mixed(prompt, chosen, rejected)
    repeated = np.ones(len(distinct), bool)
    repeated[np.unique(distinct, return_index=True)[1]] = False
    n = scan.pairs
    if hits := int(repeated.sum()):
        what = "a row repeats an earlier one: the same prompt, chosen and rejected"
        fix = "keep one of each, before the data is split"
        yield Finding("duplicates", graded("error", hits, n, 0.01), hits, n, what, fix, scan.places(repeated))
    if hits := int(both.sum()):
        what = "two rows have the same prompt and responses, and opposite labels"
        fix = "judge them again, or leave both out"
        places = scan.places(group == group[int(both[group].argmax())])
        yield Finding("contradictions", graded("error", hits, len(counts), RARE), hits, len(counts), what, fix, places)
    yield from _cycles(
        prompt[first],
        np.where(up * 2 >= counts, low[first], high[first]),
        np.where(up * 2 >= counts, high[first], low[first]),
        both,
    )


def _mixed(prompt: Hashes, one: Hashes, other: Hashes) -> Hashes:
    """One number for three."""
    a, b, c = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
    with np.errstate(over="ignore"):
        mixed: Any = (prompt ^ (prompt >> np.uint64(29))) * a + (one ^ (one >> np.uint64(31))) * b
        mixed = (mixed ^ (mixed >> np.uint64(32))) * c + (other ^ (other >> np.uint64(30))) * a
        mixed ^= mixed >> np.uint64(32)
    return np.asarray(mixed, dtype=np.uint64)


def _cycles(prompt: Hashes, chosen: Hashes, rejected: Hashes, contradicted: NDArray[np.bool_]) -> Iterator[Finding]:
    """Triples of responses to one prompt, all three compared, of which each beats the next."""
    kept = ~contradicted & (prompt != 0) & (chosen != rejected)
    prompt, chosen, rejected = prompt[kept], chosen[kept], rejected[kept]
    _, group, counts = np.unique(prompt, return_inverse=True, return_counts=True)
    many = counts[group] >= 3
    beats: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for where, one, other in zip(group[many].tolist(), chosen[many].tolist(), rejected[many].tolist(), strict=True):
        if len(beats) < TRIPLES:
            beats[where].add((one, other))
    cyclic = triples = 0
    for edges in beats.values():
        nodes = sorted({node for edge in edges for node in edge})[:20]
        for a, b, c in islice(combinations(nodes, 3), 1000):
            ab, bc, ca = ((x, y) in edges for x, y in ((a, b), (b, c), (c, a)))
            if (ab or (b, a) in edges) and (bc or (c, b) in edges) and (ca or (a, c) in edges):
                triples += 1
                cyclic += ab == bc == ca
        if triples >= TRIPLES:
            break
    if cyclic:
        severity: Severity = (
            "error" if above(cyclic, triples, CYCLIC[1]) else graded("warning", cyclic, triples, CYCLIC[0])
        )
        share = f"{cyclic / triples:.1%} of the triples, and in 25% where labels are at random"
        what = f"of three responses to a prompt each is better than the next, in {share}"
        yield Finding(
            "cycles", severity, cyclic, triples, what, "ask a better judge, or take rankings in place of pairs"
        )
