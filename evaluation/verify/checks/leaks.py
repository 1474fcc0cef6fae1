"""Prompts of one split that are in another, as they stand or nearly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluation.audit.overlap import near_duplicates
from evaluation.verify.finding import Finding, graded
from evaluation.verify.scan import Scan

NEAR = 0.8
"""Jaccard index of word 3-grams from which prompts are near-duplicates."""
READ = 6_000
"""Prompts that are held against each other, at most."""
CHARACTERS = 2_000
"""Of each."""
SHORT = 30
"""Characters of a prompt that people write again by chance."""


def find(scan: Scan) -> Iterator[Finding]:
    """split_leaks, near_split_leaks, near_duplicates."""
    prompt, split = scan.numbers.of("prompt"), scan.numbers.of("split")
    fix = "split by prompt: all rows of one prompt, and of its near-duplicates, on one side"
    if len(scan.splits) > 1 and prompt.any():
        largest = int(np.bincount(split).argmax())
        held = (split != largest) & (prompt != 0)
        inside = held & np.isin(prompt, prompt[split == largest])
        others = np.flatnonzero(held)
        values, firsts = np.unique(prompt[others], return_index=True)
        first_split = split[others][firsts][np.searchsorted(values, prompt[others])]
        inside[others] |= first_split != split[others]
        if hits := int(inside.sum()):
            what = f"a prompt outside {_name(scan, largest)} is in another split too"
            n = int(held.sum())
            yield Finding("split_leaks", graded("error", hits, n), hits, n, what, fix, scan.places(inside))
    yield from _near(scan, fix)


def _near(scan: Scan, fix: str) -> Iterator[Finding]:
    """Near-duplicates among a sample's distinct prompts."""
    seen = dict[str, tuple[int, int]]()
    for pair in scan.sample:
        if len(pair.prompt) >= SHORT and len(seen) < READ:
            seen.setdefault(pair.prompt[:CHARACTERS], (pair.split, pair.number))
    names = {f"{i}": where for i, where in enumerate(seen.values())}
    found = near_duplicates(zip(names, seen, strict=True), NEAR).found
    apart = [
        (names[one.prompt_id], names[one.earlier]) for one in found if names[one.prompt_id][0] != names[one.earlier][0]
    ]
    part = f" among {len(names):,} prompts of the sample" if len(scan.sample) < scan.pairs else ""
    if apart:
        what = f"a prompt nearly repeats one of another split{part}"
        places = tuple(f"{scan.place(*a)} and {scan.place(*b)}" for a, b in apart[:2])
        largest = int(np.bincount([split for split, _ in names.values()]).argmax())
        n = sum(split != largest for split, _ in names.values())
        yield Finding("near_split_leaks", graded("error", len(apart), n), len(apart), n, what, fix, places)
    if within := len(found) - len(apart):
        what = f"a prompt nearly repeats another{part}"
        places = tuple(
            f"{scan.place(*names[one.prompt_id])} and {scan.place(*names[one.earlier])}" for one in found[:2]
        )
        severity = graded("warning", within, len(names), 0.05)
        yield Finding("near_duplicates", severity, within, len(names), what, "keep one of each", places)


def _name(scan: Scan, split: int) -> str:
    return scan.splits[split] or "the largest split"
