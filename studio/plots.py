"""Plots whose bars are links: laid out here, drawn by `plots.html.jinja` as SVG without style or script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

WIDTH, LEFT, ROW, HEIGHT = 640, 210, 24, 150
"""Of a drawing; of the names beside bars; height of such a bar; height of a histogram's axes. In units of the drawing."""
CLIP = 30
"""Characters of a name beside a bar."""


class Bar(NamedTuple):
    """One bar, and where it leads. Places are in units of the drawing."""

    label: str
    said: str
    """Its value in words."""
    href: str
    x: float
    y: float
    width: float
    height: float


class Chart(NamedTuple):
    """A plot."""

    title: str
    bars: Sequence[Bar]
    height: float
    histogram: bool
    """Bars stand; else they lie, with their names beside them."""
    ticks: Sequence[tuple[float, str]] = ()
    """(place, what it says) along the axis of a histogram."""


def histogram(title: str, values: ArrayLike, edges: Sequence[float], href: Callable[[float, float], str]) -> Chart:
    """How many values are from one edge to below the next; the first and last bin take what is beyond. href: of (from, below)."""
    kept = np.asarray(values, dtype=np.float32)
    places = np.searchsorted(np.asarray(edges[1:-1], dtype=np.float32), kept, side="right")
    counts = np.bincount(places, minlength=len(edges) - 1)
    step, top = WIDTH / len(counts), max(int(counts.max(initial=0)), 1)
    bars = []
    for i, count in enumerate(counts.tolist()):
        least = -np.inf if i == 0 else edges[i]
        below = np.inf if i == len(counts) - 1 else edges[i + 1]
        height = HEIGHT * count / top
        label = f"{edges[i]:g} to {edges[i + 1]:g}"
        bars.append(Bar(label, f"{count:,}", href(least, below), i * step + 1, HEIGHT - height, step - 2, height))
    every = max(1, len(counts) // 10)
    ticks = [(i * step, f"{edge:g}") for i, edge in enumerate(edges) if i % every == 0]
    return Chart(title, bars, HEIGHT + 20, True, ticks)


def lying(title: str, rows: Sequence[tuple[str, float, str, str]]) -> Chart:
    """A bar for each (label, value, what it says, href)."""
    top = max((value for _, value, _, _ in rows), default=0) or 1
    room = WIDTH - LEFT - 110
    bars = [
        Bar(label, said, href, LEFT, i * ROW + 3, max(room * value / top, 1), ROW - 6)
        for i, (label, value, said, href) in enumerate(rows)
    ]
    return Chart(title, bars, len(rows) * ROW + 4, False)


def clip(label: str) -> str:
    """A name as it stands beside a bar."""
    return label if len(label) <= CLIP else f"{label[: CLIP - 1]}…"


class Curve(NamedTuple):
    """One line of a plot."""

    name: str
    path: str
    """As the `d` of an SVG path."""
    last: str
    """Its last value."""


class Lines(NamedTuple):
    """A plot of lines over steps."""

    title: str
    curves: Sequence[Curve]
    low: str
    high: str
    first: str
    end: str
    """Ends of the axes: of values, and of steps."""


def lines(title: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> Lines:
    """A line for each (name, points); values that are not finite are left out."""
    kept = [(name, [p for p in points if np.isfinite(p[1])]) for name, points in series]
    every = np.array([point for _, points in kept for point in points]).reshape(-1, 2)
    if not len(every):
        return Lines(title, [], "", "", "", "")
    (x0, y0), (x1, y1) = every.min(axis=0), every.max(axis=0)
    width, height = (x1 - x0) or 1.0, (y1 - y0) or 1.0
    curves = []
    for name, points in kept:
        places = [
            f"{WIDTH * (x - x0) / width:.1f} {HEIGHT - (HEIGHT - 8) * (y - y0) / height - 4:.1f}" for x, y in points
        ]
        if places:
            curves.append(Curve(name, f"M{'L'.join(places)}h.1", f"{points[-1][1]:.4g}"))
    return Lines(title, curves, f"{y0:.4g}", f"{y1:.4g}", f"{x0:g}", f"{x1:g}")
