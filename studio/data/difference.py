"""What differs between two finished runs, found once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from evaluation.diff.runs import PairKey, PairSide, RunDiff, compare_runs, read_pairs
from studio.data.build import PIECE, Progress
from studio.data.index import Index

_found: dict[tuple[str, str], RunDiff] = {}
_finding = threading.Lock()


def difference_of(a: Index, b: Index, progress: Progress = lambda pairs: None) -> RunDiff:
    """From run A to run B. Kept for the two that were asked for last. progress: told the pairs of A so far, while they are read."""
    key = a.manifest.sha256, b.manifest.sha256  # a run that was made anew is another one
    with _finding:
        if key not in _found:
            found = compare_runs(_counted(read_pairs(a.run), progress), read_pairs(b.run))
            _found.clear()
            _found[key] = found
        return _found[key]


def _counted(pairs: Iterable[tuple[PairKey, PairSide]], progress: Progress) -> Iterator[tuple[PairKey, PairSide]]:
    for number, pair in enumerate(pairs):
        if number % PIECE == 0:
            progress(number)
        yield pair
