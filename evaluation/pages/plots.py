"""Plots as images that a page shows: SVG in a `data:` address, so that nothing in them can run or be fetched.

Written as text, without a library: equal numbers give equal bytes, and a report's plots take milliseconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluation.pages import svg
from evaluation.pages.svg import COLOURS, MARKERS, Ticks

WIDTH = 518.4
"""Points of every plot, where its names fit beside it."""
LONGEST = 44
"""Characters of a name; a longer one loses its middle."""
LEFT, BELOW, ABOVE = 68.4, 36.0, 10.0
"""Points left of, below and above axes of numbers."""
LEAST = 144.0
"""Points that axes keep whatever stands beside them."""
ROW = 19.5
"""Points of a bar or of a row of a heat map."""
TICKS = 6
"""Most steps of an axis."""
MARKED = 60
"""A line of at most so many points shows each with a marker."""
ANNOTATED = 16
"""A heat map with at most so many columns has its numbers written into it."""
SHADES = 128
"""Colours of a heat map: cells of one colour are one path."""
SAID = 30
"""Numbers that the text beside a plot repeats."""
_FRAME, _GRID, _DARK, _GREY = "#888888", "#e4e4e4", "#222222", "#666666"


class Plot(NamedTuple):
    """A picture and what it says to those who cannot see it. The title is the page's to show."""

    title: str
    uri: str
    """`data:image/svg+xml;base64,...`, for the src of an <img>."""
    alt: str


class Axes(NamedTuple):
    """A rectangle of the picture and the values that its sides stand for."""

    left: float
    top: float
    wide: float
    high: float
    x: Ticks
    y: Ticks

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is drawn."""
        across = (x - self.x.low) / (self.x.high - self.x.low)
        up = (y - self.y.low) / (self.y.high - self.y.low)
        return self.left + across * self.wide, self.top + (1 - up) * self.high

    @property
    def bottom(self) -> float:
        """Where the axis below is drawn."""
        return self.top + self.high

    @property
    def right(self) -> float:
        """Where the axes end."""
        return self.left + self.wide


def line(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, diagonal: bool = False
) -> Plot:
    """One line of (x, y) points for each name; `diagonal` adds the line y = x, as for a reliability diagram."""
    ends = [f"{name} from {_number(p[0][1])} to {_number(p[-1][1])}" for name, p in series.items() if p]
    seen = [point for points in series.values() for point in points if all(map(math.isfinite, point))]
    seen += [(0.0, 0.0), (1.0, 1.0)] if diagonal and series else []
    if not seen:
        return _empty(title, 302.4, x, y, ends)
    names = [*(["y = x"] if diagonal else []), *map(label, series)]
    beside = 30 + max(map(svg.width, names))
    across, up = (svg.ticks(values, TICKS) for values in zip(*seen, strict=True))
    left = max(LEFT, 26 + max((svg.width(written) for _, written in up.marks), default=0))
    wide = max(WIDTH - beside - 7 - left, LEAST)
    axes = Axes(left, ABOVE, wide, 302.4 - ABOVE - BELOW, across, up)
    parts = [_frame(axes, x, y, "xy")]
    keys = []
    if diagonal:
        parts.append(svg.line(*axes.at(0, 0), *axes.at(1, 1), "#999999", stroke_dasharray="1 2"))
        keys.append(_key(axes, 0, len(names), "y = x", "#999999", "1 2", ""))
    for i, (name, points) in enumerate(series.items()):
        colour, dashes = COLOURS[i % len(COLOURS)], ("", "6 3", "6 2 1 2")[i // len(COLOURS) % 3]
        marker = MARKERS[i % len(MARKERS)] if len(points) <= MARKED else ""
        parts.append(_drawn([axes.at(*point) for point in points], colour, dashes, marker))
        keys.append(_key(axes, len(keys), len(names), label(name), colour, dashes, marker))
    whole = max(WIDTH, axes.right + beside + 7)
    return _plot(title, whole, 302.4, "".join([*parts, *keys]), ends)


def bars(
    title: str,
    values: Mapping[str, float],
    x: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    reference: float | None = None,
) -> Plot:
    """A horizontal bar for each name, first on top; `intervals` are (low, high); `reference` is drawn as a line."""
    said = [f"{name} {_number(value)}" for name, value in values.items()]
    high = ABOVE + BELOW + ROW * max(2, len(values))
    if not values:
        return _empty(title, high, x, "", said)
    known = {name: ends for name, ends in (intervals or {}).items() if name in values and all(map(math.isfinite, ends))}
    reached = [0.0, *(value for value in values.values() if math.isfinite(value))]
    reached += [end for ends in known.values() for end in ends]
    reached += [reference] if reference is not None else []
    left = max(LEFT, 12 + max(svg.width(label(name)) for name in values))
    across = svg.ticks(reached, TICKS)
    axes = Axes(left, ABOVE, max(WIDTH - left - 14, LEAST), high - ABOVE - BELOW, across, Ticks(0, 1, ()))
    parts = [_frame(axes, x, "", "x")]
    row = axes.high / max(2, len(values))
    for i, (name, value) in enumerate(values.items()):
        middle = axes.top + (i + 0.5) * row
        parts.append(svg.text(left - 5, middle, label(name), "end"))
        start, end = sorted((axes.at(0, 0)[0], axes.at(value if math.isfinite(value) else 0.0, 0)[0]))
        parts.append(
            svg.element("rect", x=start, y=middle - row / 3, width=end - start, height=row / 1.5, fill=COLOURS[0])
        )
        if name in known:
            ends = [axes.at(end, 0)[0] for end in known[name]]
            parts.append(svg.line(ends[0], middle, ends[1], middle, _DARK, stroke_width=1.4))
            parts += [svg.line(end, middle - 3, end, middle + 3, _DARK) for end in ends]
    if reference is not None:
        place = axes.at(reference, 0)[0]
        parts.append(
            svg.line(place, axes.top, place, axes.bottom, COLOURS[1], stroke_dasharray="5 3", stroke_width=1.2)
        )
    return _plot(title, max(WIDTH, axes.right + 14), high, "".join(parts), said)


def heat(
    title: str, rows: Sequence[str], columns: Sequence[str], values: ArrayLike, limits: tuple[float, float]
) -> Plot:
    """values [rows, columns] as colours between the limits, whose middle is white; NaN is grey."""
    grid = np.asarray(values, dtype=float).reshape(len(rows), len(columns))
    cells = [(i, j, float(value)) for (i, j), value in np.ndenumerate(grid)]
    said = (f"{rows[i]} and {columns[j]} {_number(value)}" for i, j, value in cells if not math.isnan(value))
    if not cells:
        return _empty(title, ABOVE + BELOW + 2 * ROW, "", "", said)
    left = max(LEFT, 12 + max(svg.width(label(name)) for name in rows))
    below = 16 + 0.82 * max(svg.width(label(name)) for name in columns)
    high, wide = ROW * max(2, len(rows)), max(WIDTH - left - 70, LEAST)
    across, down = wide / len(columns), high / len(rows)
    parts = [_cells(cells, limits, f"translate({svg.number(left)} {ABOVE}) scale({across:.4f} {down:.4f})")]
    middle, half = sum(limits) / 2, (limits[1] - limits[0]) / 2
    for i, j, value in cells if len(columns) <= ANNOTATED else ():
        if not math.isnan(value):
            ink = "white" if abs(value - middle) > 0.65 * half else "black"
            place = left + (j + 0.5) * across, ABOVE + (i + 0.5) * down
            parts.append(svg.text(*place, f"{value:.2f}", "middle", fill=ink, font_size=7))
    for i, name in enumerate(rows):
        parts.append(svg.text(left - 5, ABOVE + (i + 0.5) * down, label(name), "end"))
    for j, name in enumerate(columns):
        parts.append(svg.text(left + (j + 0.5) * across, ABOVE + high + 8, label(name), "end", turned=55))
    parts += _scale(left + wide + 14, high, limits)
    return _plot(title, max(WIDTH, left + wide + 70), ABOVE + high + below, "".join(parts), said)


def histogram(title: str, values: ArrayLike, x: str, bins: int | Sequence[float]) -> Plot:
    """How many values fall into each bin; a number of bins, or their edges. Values that are not finite are left out."""
    kept = np.asarray(values, dtype=float).ravel()
    counts, edges = np.histogram(kept[np.isfinite(kept)], bins=list(bins) if isinstance(bins, Sequence) else bins)
    return counted(title, counts.tolist(), edges.tolist(), x)


def counted(title: str, counts: Sequence[int], edges: Sequence[float], x: str) -> Plot:
    """A histogram whose bins are counted already; one more edge than counts."""
    bins = [(low, high, n) for (low, high), n in zip(pairwise(edges), counts, strict=False) if n]
    said = [f"{_number(low)} to {_number(high)}: {n}" for low, high, n in bins]
    if not bins:
        return _empty(title, 216, x, "count", said)
    up = svg.ticks([0.0, *map(float, counts)], TICKS)
    axes = Axes(LEFT, ABOVE, WIDTH - LEFT - 7, 216 - ABOVE - BELOW, svg.ticks(edges, TICKS), up._replace(low=0.0))
    parts = [_frame(axes, x, "count", "y")]
    for low, high, n in bins:
        (left, top), (right, bottom) = axes.at(low, n), axes.at(high, 0)
        wide = max(right - left - 0.8, 0.4)
        parts.append(svg.element("rect", x=left, y=top, width=wide, height=bottom - top, fill=COLOURS[0]))
    return _plot(title, WIDTH, 216, "".join(parts), said)


def label(text: str) -> str:
    """A name on one line: what cannot be written or would be invisible becomes `?`; a long name loses its middle."""
    clean = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    half = LONGEST // 2
    return clean if len(clean) <= LONGEST else f"{clean[: half - 1]}…{clean[-half:]}"


def _frame(axes: Axes, x: str, y: str, grid: str) -> str:
    """The two axes with their marks and names, and lines across where `grid` names the axis."""
    parts = []
    for value, written in axes.x.marks:
        place = axes.at(value, axes.y.low)[0]
        parts += [svg.line(place, axes.top, place, axes.bottom, _GRID)] if "x" in grid else []
        parts.append(svg.text(place, axes.bottom + 9, written, "middle"))
    for value, written in axes.y.marks:
        place = axes.at(axes.x.low, value)[1]
        parts += [svg.line(axes.left, place, axes.right, place, _GRID)] if "y" in grid else []
        parts.append(svg.text(axes.left - 5, place, written, "end"))
    parts.append(svg.line(axes.left, axes.bottom, axes.right, axes.bottom, _FRAME))
    parts.append(svg.line(axes.left, axes.top, axes.left, axes.bottom, _FRAME))
    parts.append(svg.text(axes.left + axes.wide / 2, axes.bottom + 25, label(x), "middle") if x else "")
    parts.append(svg.text(12, axes.top + axes.high / 2, label(y), "middle", turned=90) if y else "")
    return "".join(parts)


def _drawn(points: Sequence[tuple[float, float]], colour: str, dashes: str, marker: str) -> str:
    """A line through points, and a marker at each."""
    style = {"stroke_dasharray": dashes} if dashes else {}
    drawn = svg.element("path", d=svg.path(points), stroke=colour, fill="none", stroke_width=1.5, **style)
    return drawn + (svg.element("path", d=svg.marked(points, marker), fill=colour) if marker else "")


def _key(axes: Axes, i: int, of: int, name: str, colour: str, dashes: str, marker: str) -> str:
    """A line's name, right of the axes."""
    x, y = axes.right + 7, axes.top + axes.high / 2 + (i - (of - 1) / 2) * 13
    style = {"stroke_dasharray": dashes} if dashes else {}
    sample = svg.line(x, y, x + 18, y, colour, stroke_width=1.5, **style)
    middle = svg.element("path", d=svg.marked([(x + 9, y)], marker), fill=colour) if marker else ""
    return sample + middle + svg.text(x + 23, y, name)


def _cells(cells: Iterable[tuple[int, int, float]], limits: tuple[float, float], transform: str) -> str:
    """Squares of one unit, those of one colour together."""
    low, high = limits
    drawn: dict[str, list[str]] = defaultdict(list)
    for i, j, value in cells:
        shade = round((value - low) / ((high - low) or 1.0) * SHADES) / SHADES if not math.isnan(value) else math.nan
        drawn["#dddddd" if math.isnan(shade) else svg.colour(shade)].append(f"M{j} {i}h1v1h-1z")
    paths = (svg.element("path", d="".join(d), fill=colour) for colour, d in drawn.items())
    return svg.element("g", "".join(paths), transform=transform, shape_rendering="crispEdges")


def _scale(x: float, high: float, limits: tuple[float, float]) -> list[str]:
    """The colours and what they stand for."""
    strip = svg.element("rect", x=x, y=ABOVE, width=12, height=high, fill="url(#scale)", stroke=_FRAME)
    named = zip((ABOVE + high, ABOVE + high / 2, ABOVE), (limits[0], sum(limits) / 2, limits[1]), strict=True)
    return [svg.scale("scale"), strip, *(svg.text(x + 16, place, _number(value)) for place, value in named)]


def _empty(title: str, high: float, x: str, y: str, said: Iterable[str]) -> Plot:
    """Axes that say that there is nothing to show."""
    axes = Axes(LEFT, ABOVE, WIDTH - LEFT - 7, high - ABOVE - BELOW, Ticks(0, 1, ()), Ticks(0, 1, ()))
    words = svg.text(LEFT + axes.wide / 2, ABOVE + axes.high / 2, "no data", "middle", fill=_GREY)
    return _plot(title, WIDTH, high, _frame(axes, x, y, "") + words, said)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _plot(title: str, wide: float, high: float, content: str, parts: Iterable[str]) -> Plot:
    listed = [*islice(parts, SAID + 1)]
    more = ", ..." if len(listed) > SAID else ""
    return Plot(title, svg.document(wide, high, content), f"{title}: {', '.join(listed[:SAID]) or 'no data'}{more}")
