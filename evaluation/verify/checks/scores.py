"""Scores that stand for failures, decide nothing, or say the reverse of the label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.verify.finding import Finding, above, graded, is_blind, upper
from evaluation.verify.scan import Scan

Floats = NDArray[np.float64]
FEWEST = 20
"""Pairs below which nothing is said of the spread of scores."""
TIES = 0.05
"""Share of labelled pairs with equal scores that rounding explains."""
MIXED = 0.03
"""Share of pairs with both scores at one value that is told."""
REVERSED = 0.02
STEP, STEP_OF_FEW = 2, 5
"""How many times as frequent as its neighbour the outermost score is where it stands for something else; on a scale of five or
fewer values more, since people and judges like its ends."""


def find(scan: Scan) -> Iterator[Finding]:
    """constant_scores, default_scores, tied_scores, missing_scores, labels_against_scores, labels_reverse_scores, ..."""
    for name, (one, other) in scan.scores.items():
        yield from _measure(scan, name, np.frombuffer(one), np.frombuffer(other))
    for name, kept in scan.margins.items():
        yield from _margin(scan, name, np.frombuffer(kept))


def _measure(scan: Scan, name: str, chosen: Floats, rejected: Floats) -> Iterator[Finding]:
    known = ~(np.isnan(chosen) | np.isnan(rejected))
    hits, n = int((~known).sum()), len(known)
    if hits and (hits < n):
        what = f"{name}: a labelled pair lacks a score"
        fix = "find out why; a failed call must not become a label"
        yield Finding("missing_scores", graded("warning", hits, n, 0.01), hits, n, what, fix, scan.places(~known))
    n = int(known.sum())
    if n < FEWEST:
        return
    both = np.concatenate([chosen[known], rejected[known]])
    values, counts = np.unique(both, return_counts=True)
    if len(values) == 1:
        what = f"{name}: every score is {values[0]:g}"
        yield Finding(
            "constant_scores", "error", n, n, what, "the scores were not read, or are a default: make them again"
        )
        return
    yield from _default(scan, name, chosen, rejected, known, values, counts)
    yield from _against(scan, name, chosen, rejected, known)


def _default(
    scan: Scan,
    name: str,
    chosen: Floats,
    rejected: Floats,
    known: NDArray[np.bool_],
    values: Floats,
    counts: NDArray[np.int64],
) -> Iterator[Finding]:
    """A value by which failures were filled in: at both responses of a pair, off the scale, or more frequent than it can be."""
    n = int(known.sum())
    tied = known & (chosen == rejected)
    ties = int(tied.sum())
    reasons = dict[float, str]()
    if ties:
        at, often = np.unique(chosen[tied], return_counts=True)
        top = int(often.argmax())
        either = int((known & ((chosen == at[top]) | (rejected == at[top]))).sum())
        rest, others = ties - int(often[top]), n - either
        alone = upper(rest, others) if others else 1.0
        if above(int(often[top]), n, MIXED) and above(int(often[top]), either, min(0.9, max(0.1, 2 * alone))):
            reasons[float(at[top])] = f"both responses have it in {often[top]:,} pairs, which are labelled all the same"
    for value, why in _spikes(values, counts):
        reasons.setdefault(value, why)
    for value, why in reasons.items():
        which = known & ((chosen == value) | (rejected == value))
        what = f"{name}: {value:g} stands for something else than a score: {why}"
        fix = "leave these rows out: a failed call or a text that was not understood became a score"
        yield Finding("default_scores", "error", int(which.sum()), n, what, fix, scan.places(which))
    if above(ties, n, TIES) and not reasons:
        what = f"{name}: both responses have the same score in {ties / n:.1%} of the labelled pairs"
        yield Finding(
            "tied_scores",
            "warning",
            ties,
            n,
            what,
            "leave them out: something else than the score decided",
            scan.places(tied),
        )


def _spikes(values: Floats, counts: NDArray[np.int64]) -> Iterator[tuple[float, str]]:
    n = int(counts.sum())
    top = int(counts.argmax())
    if len(values) > max(20, n / 10):  # nearly every score is another
        if above(int(counts[top]), n, 0.02) and counts[top] > 20 * np.median(counts):
            yield float(values[top]), f"{counts[top] / n:.1%} of the scores are it, where nearly no other comes twice"
        return
    whole = values == np.round(values)
    if int(counts[whole].sum()) >= 0.7 * n and int(whole.sum()) >= 3 and int((~whole).sum()) == 1:
        odd = int(np.flatnonzero(~whole)[0])
        if above(int(counts[odd]), n, 0.005):
            yield float(values[odd]), f"all other scores are whole numbers, and {counts[odd] / n:.1%} are it"
    step = STEP if len(values) > 6 else STEP_OF_FEW
    for end, inner in ((0, 1), (len(values) - 1, len(values) - 2)):
        if len(values) < 4:
            continue
        gap = abs(values[end] - values[inner])
        usual = float(np.median(np.diff(np.delete(values, end))))
        often = above(int(counts[end]), n, 0.01)
        sticks_out = above(int(counts[end]), int(counts[end] + counts[inner]), step / (1 + step))
        if often and (gap > 1.5 * usual or (sticks_out and counts[end] < counts.max())):
            why = (
                "far from all others"
                if gap > 1.5 * usual
                else f"{counts[end] / counts[inner]:.0f} times as frequent as the next"
            )
            yield float(values[end]), f"{counts[end] / n:.1%} of the scores are it, {why}"


def _against(scan: Scan, name: str, chosen: Floats, rejected: Floats, known: NDArray[np.bool_]) -> Iterator[Finding]:
    """Labels that the scores contradict: another judge's opinion does so where scores are close, a swapped pair anywhere."""
    decided = known & (chosen != rejected)
    wrong = decided & (chosen < rejected)
    hits, n = int(wrong.sum()), int(decided.sum())
    if n < FEWEST or not hits:
        return
    places = scan.places(wrong)
    share = f"{name}: the rejected response has the higher score in {hits / n:.1%} of the pairs"
    if above(hits, n, 0.5) and not is_blind(hits, n):
        yield Finding(
            "labels_reverse_scores",
            "error",
            hits,
            n,
            share,
            "swap chosen and rejected, or a lower score is better",
            places,
        )
    elif is_blind(hits, n):
        yield Finding(
            "labels_ignore_scores",
            "error",
            hits,
            n,
            f"{share}: labels do not come from it",
            "make the labels again",
            places,
        )
    elif above(hits, n, REVERSED):
        gap = np.abs(chosen - rejected)
        wide = decided & (gap > np.median(gap[decided]))
        narrow = decided & ~wide
        rates = [(int((wrong & part).sum()), int(part.sum())) for part in (wide, narrow)]
        opinion = rates[0][1] > 0 and upper(*rates[0]) < 0.5 * rates[1][0] / max(1, rates[1][1])
        if opinion:
            what = f"{share}, most of them where scores are close: the label is not made of this score alone"
            yield Finding(
                "labels_against_scores", "note", hits, n, what, "nothing, where they are of another judge", places
            )
        else:
            what = f"{share}, where scores are far apart as often as where they are close: pairs are swapped"
            fix = "make the labels again from the scores, or leave these pairs out"
            yield Finding("swapped_pairs", "error", hits, n, what, fix, places)
    else:
        yield Finding("swapped_pairs", "note", hits, n, share, "read them", places)


def _margin(scan: Scan, name: str, margin: Floats) -> Iterator[Finding]:
    """A column that says by how much the chosen one is better."""
    known = ~np.isnan(margin)
    n = int(known.sum())
    if n < FEWEST:
        return
    values, counts = np.unique(margin[known], return_counts=True)
    if len(values) == 1:
        what = f"{name}: the same in every row"
        yield Finding("constant_scores", "error", n, n, what, "it was not read, or is a default: make it again")
        return
    against = known & (margin < 0)
    if hits := int(against.sum()):
        what = f"{name}: says that the rejected response is better"
        severity = graded("error", hits, n)
        yield Finding(
            "swapped_pairs",
            severity,
            hits,
            n,
            what,
            "swap chosen and rejected there, or leave them out",
            scan.places(against),
        )
    top = int(counts.argmax())
    undecided = int(counts[values == 0].sum())
    if above(undecided, n, TIES):
        what = f"{name}: says that neither is better in {undecided / n:.1%} of the labelled pairs"
        yield Finding(
            "default_scores", "error", undecided, n, what, "leave them out", scan.places(known & (margin == 0))
        )
    elif len(values) > n / 10 and above(int(counts[top]), n, 0.02):
        what = f"{name}: {values[top]:g} in {counts[top] / n:.1%} of the rows, where nearly no other value comes twice"
        yield Finding(
            "default_scores",
            "error",
            int(counts[top]),
            n,
            what,
            "a failure was filled in: leave these rows out",
            scan.places(known & (margin == values[top])),
        )
