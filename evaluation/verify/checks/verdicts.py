"""Whether labels say what the judge's own words say, where a column holds these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from critics.verdict import stated
from evaluation.verify.finding import Finding, above, is_blind
from evaluation.verify.marks import is_failure
from evaluation.verify.rows import Pair
from evaluation.verify.scan import Scan

READ = 4_000
"""Verdicts that are read, at most."""
_ZERO = re.compile(
    r"\b(?:preferred|winner|choice|better|verdict|answer|final|decision|response)\b\W{0,5}0\b|^\W{0,3}0\W{0,3}$",
    re.IGNORECASE | re.MULTILINE,
)
_DIGIT = re.compile(r"\b[01]\b")
_END = 120
"""Characters at the end of a verdict in which 0 and 1 are names of responses, where they are numbered from 0."""
TRUE = 0.02
"""Share of labels against their verdicts that is a matter of how verdicts are read."""
READABLE = 0.6
"""Share of verdicts that must be understood before the others are called failures."""


class _Read(NamedTuple):
    pair: Pair
    side: str | None
    """first, second, tie; None where nothing is stated."""


def find(scan: Scan) -> Iterator[Finding]:
    """labels_ignore_verdicts, labels_reverse_verdicts, labels_against_verdicts, labels_without_verdict, one_verdict."""
    pairs = [pair for pair in scan.sample if pair.verdict is not None][:READ]
    if not pairs:
        return
    zero = _from_zero(pairs)
    read = [_Read(pair, stated(_counted(pair.verdict or "", zero))) for pair in pairs]
    yield from _compared(
        scan, [one for one in read if one.side in ("first", "second") and one.pair.asked_first is not None]
    )
    yield from _without(scan, read)
    yield from _one_side(scan, [one for one in read if one.side in ("first", "second")])


def _from_zero(pairs: Sequence[Pair]) -> bool:
    """Whether verdicts call the responses 0 and 1."""
    zeros = sum(bool(_ZERO.search((pair.verdict or "")[-_END:])) for pair in pairs)
    return above(zeros, len(pairs), 0.05)


def _counted(text: str, zero: bool) -> str:
    """A verdict with its responses numbered from 1."""
    return text if not zero else text[:-_END] + _DIGIT.sub(lambda m: str(int(m[0]) + 1), text[-_END:])


def _compared(scan: Scan, read: Sequence[_Read]) -> Iterator[Finding]:
    against = [one.pair for one in read if (one.side == "first") != one.pair.asked_first]
    hits, n = len(against), len(read)
    places = tuple(scan.place(pair.split, pair.number) for pair in against[:3])
    fix = "make the labels again from the verdicts; most likely the order in which the judge saw the responses is lost"
    if is_blind(hits, n):
        what = f"labels agree with the judge's verdicts in {1 - hits / n:.1%}, which is what labels do that ignore them"
        yield Finding("labels_ignore_verdicts", "error", hits, n, what, fix, places)
    elif above(hits, n, 0.5):
        what = f"{hits / n:.1%} of the labels are the reverse of the judge's verdict in the same row"
        yield Finding("labels_reverse_verdicts", "error", hits, n, what, "swap chosen and rejected", places)
    elif above(hits, n, TRUE):
        what = f"{hits / n:.1%} of the labels are the reverse of the judge's verdict in the same row"
        yield Finding("labels_against_verdicts", "error", hits, n, what, fix, places)
    elif hits:
        what = "labels are the reverse of the judge's verdict in the same row, as far as it is understood"
        yield Finding("labels_against_verdicts", "note", hits, n, what, "read them", places)


def _without(scan: Scan, read: Sequence[_Read]) -> Iterator[Finding]:
    empty = [one.pair for one in read if not (one.pair.verdict or "").strip() or is_failure(one.pair.verdict or "")]
    understood = sum(one.side is not None for one in read)
    silent = [one.pair for one in read if one.side is None]
    known = above(understood, len(read), READABLE) or understood >= READABLE * len(read)
    found = silent if known else empty
    hits, n = len(found), len(read)
    if above(hits, n, 0.02):
        ties = sum(one.side == "tie" for one in read)
        first = sum(bool(pair.listed_first or pair.asked_first) for pair in found)
        order = f"; the first of the pair is chosen in {first} of these {hits}" if first else ""
        what = f"{hits / n:.1%} of the labelled rows have no verdict: it is empty, an error, or decides nothing{order}"
        places = tuple(scan.place(pair.split, pair.number) for pair in found[:3])
        yield Finding(
            "labels_without_verdict", "error", hits, n, what, "leave these rows out, or ask the judge again", places
        )
        if above(ties, n, 0.02):
            what = "the judge calls a tie, and the row has a label"
            yield Finding("ties_labelled", "warning", ties, n, what, "leave them out, or train on them as ties")
    elif not known and not empty:
        what = f"of the judge's texts {understood} are understood; the others are in a form that is not known"
        yield Finding("verdicts_not_understood", "note", n - understood, n, what, "compare some by hand")


def _one_side(scan: Scan, read: Sequence[_Read]) -> Iterator[Finding]:
    first = sum(one.side == "first" for one in read)
    for word, hits in (("first", first), ("second", len(read) - first)):
        if above(hits, len(read), 0.9):
            what = f"the judge's verdict is the {word} response in {hits / len(read):.1%} of the rows"
            fix = "ask in both orders, and take no label from a judge that names one place"
            yield Finding("one_verdict", "error", hits, len(read), what, fix)
