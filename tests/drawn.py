"""Tests need the numbers and names of plots, not their lines: to draw those takes two thirds of a plot's time, and pages are many."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

DRAW = Axes.draw
"""What draws the axes and all that is on them; `tests/evaluation/pages/test_plots.py` has it put back."""


def leave_out() -> None:
    """From now on pictures are blank in this process and in those that are forked from it."""
    axes: Any = Axes
    axes.draw = _nothing


def _nothing(self: Axes, renderer: Any) -> None:
    self.stale = False
