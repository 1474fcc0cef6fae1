"""Tests need the numbers and names of plots, not their lines: to draw those takes two thirds of a plot's time, and pages are many."""

from __future__ import annotations

from typing import IO, Any

from matplotlib.backends.backend_svg import FigureCanvasSVG

DRAW = FigureCanvasSVG.print_svg
"""What draws a picture; `tests/evaluation/pages/test_plots.py` has it put back."""
BLANK = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def leave_out() -> None:
    """From now on pictures are blank in this process and in those that are forked from it."""
    FigureCanvasSVG.print_svg = _blank


def _blank(self: FigureCanvasSVG, file: IO[bytes], **_: Any) -> None:
    file.write(BLANK)
