"""What a page is built from: sections of plots and tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from critics.ranking.weights import Estimate
from evaluation.pages.plots import Plot

LISTED = 20
"""Rows of a list."""


class Table(NamedTuple):
    """Columns whose name starts with `#` hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class Section(NamedTuple):
    """One question about a run."""

    title: str
    text: str
    parts: Sequence[Plot | Table]

    @property
    def anchor(self) -> str:
        """Its address in the page."""
        return re.sub(r"\W+", "-", self.title.lower())


NOTHING = Section("", "", ())
"""A section without anything to show, which no page has. Drawing what is then left out takes longest."""


def percent(value: float) -> str:
    """A share as it is read."""
    return "" if np.isnan(value) else f"{value:.1%}"


def bar_values(shares: Mapping[str, Estimate]) -> tuple[dict[str, float], str, dict[str, tuple[float, float]]]:
    """Values, axis and intervals as plots.bars takes them."""
    intervals = {name: (found.low, found.high) for name, found in shares.items()}
    return {name: found.value for name, found in shares.items()}, "share, with 95% interval", intervals
