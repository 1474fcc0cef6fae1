"""`report.html`: one page, without a script or a request, to see what a run made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from generation.dataset import SPLITS
from generation.folder import write_atomically
from generation.manifest import Manifest
from generation.pages import render_html

BINS = 20
EXAMPLES = 12


@dataclass(slots=True)
class PrincipleSummary:
    """One principle's votes over the run."""

    votes: int = 0
    strength: float = 0.0
    """Sum of |vote|, in log-odds."""
    bias: float = 0.0
    """Sum of the position bias, in log-odds."""
    flips: int = 0

    def row(self, name: str) -> tuple[str, int, str, str, str]:
        """Name, votes, mean |vote|, mean bias, flip rate."""
        n = self.votes
        return name, n, f"{self.strength / n:.3f}", f"{self.bias / n:+.3f}", f"{self.flips / n:.0%}"


def write_report(folder: Path, manifest: Manifest) -> None:
    """Write report.html from the finished files of a run."""
    bins, examples = _pairs(folder)
    critiques = _critiques(folder, {row["rejected_id"] for row in examples} | {row["chosen_id"] for row in examples})
    page = render_html(
        Path(__file__).parent / "templates" / "report.html.jinja",
        manifest=manifest,
        bars=_bars(bins),
        principles=[summary.row(name) for name, summary in sorted(_principles(folder).items())],
        examples=examples,
        critiques=critiques,
    )
    write_atomically(folder / "report.html", page)


def _pairs(folder: Path) -> tuple[list[int], list[dict[str, Any]]]:
    """Histogram of p_chosen, and the most and least decided pairs of the first rows."""
    bins = [0] * BINS
    first: list[dict[str, Any]] = []
    for split in SPLITS:
        for row in _rows(folder / "data" / "preferences" / f"{split}.parquet"):
            bins[min(BINS - 1, int((row["p_chosen"] - 0.5) * 2 * BINS))] += 1
            if len(first) < 1000:
                first.append(row)
    first.sort(key=lambda row: -row["margin"])
    half = EXAMPLES // 2
    return bins, first if len(first) <= EXAMPLES else [*first[:half], *first[-half:]]


def _principles(folder: Path) -> dict[str, PrincipleSummary]:
    summaries: defaultdict[str, PrincipleSummary] = defaultdict(PrincipleSummary)
    for row in _rows(folder / "votes.parquet"):
        summary = summaries[row["principle"]]
        summary.votes += 1
        summary.strength += abs(row["vote"])
        summary.bias += row["bias"]
        summary.flips += row["flip"]
    return summaries


def _critiques(folder: Path, responses: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Critiques of these responses."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(folder / "critiques.parquet"):
        if row["response_id"] in responses:
            found[row["response_id"]].append(row)
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1000):
            yield from batch.to_pylist()


def _bars(bins: list[int]) -> list[tuple[int, float, int, str]]:
    """(x, height, count, label) of each bar in a picture 100 high."""
    top = max(bins) or 1
    return [(i * 20, 100 * n / top, n, f"{0.5 + i / BINS / 2:.3f}") for i, n in enumerate(bins)]
