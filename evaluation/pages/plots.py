"""Plots as images that a page shows: SVG in a `data:` address, so that nothing in them can run or be fetched.

Drawn by matplotlib without pyplot and without a date, so equal numbers give equal bytes. Colours: Okabe and Ito's, which people
who are colour-blind can tell apart.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
MARKERS = "osD^vPX"
WIDTH = 7.2
"""Inches of every plot."""
LONGEST = 44
"""Characters of a name; a longer one loses its middle."""
MARGINS = 0.95, 0.5, 0.2
"""Inches left of, below and above the axes of numbers. Fixed, since measuring all texts takes as long as drawing them."""
LABELS = 0.2
"""Inches from the figure's edge to the middle of an axis's name, likewise."""
BESIDE = 0.17
"""Inches between bars and their names, and right of all."""
TICKS = 4, 6
"""Most steps of the axes of a plot of lines, x and y: each takes a thirtieth of the drawing's time."""
MARKED = 60
"""A line of at most so many points shows each with a marker."""
ANNOTATED = 16
"""A heat map with at most so many columns has its numbers written into it."""
SAID = 30
"""Numbers that the text beside a plot repeats."""
_FONT = "DejaVu Sans"
_STYLE = {
    "svg.hashsalt": "solon",
    "font.family": _FONT,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.axisbelow": True,
    "xtick.bottom": False,
    "ytick.left": False,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "text.parse_math": False,
}


@cache
def library() -> Any:
    """matplotlib, loaded by the first plot: a page without one, as that of a small run, need not wait for it."""
    import matplotlib.backends.backend_svg
    import matplotlib.figure
    import matplotlib.font_manager
    import matplotlib.transforms

    return matplotlib


class Plot(NamedTuple):
    """A picture and what it says to those who cannot see it. The title is the page's to show."""

    title: str
    uri: str
    """`data:image/svg+xml;base64,...`, for the src of an <img>."""
    alt: str


def line(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, diagonal: bool = False
) -> Plot:
    """One line of (x, y) points for each name; `diagonal` adds the line y = x, as for a reliability diagram.

    Not for two threads at once, since all lines are drawn on the same axes.
    """
    with library().rc_context(_STYLE):
        visible = any(math.isfinite(value) for points in series.values() for _, value in points)
        figure, axes = _board() if visible else _lines_canvas()
        axes.set(xlabel=x, ylabel=y)
        if diagonal:
            axes.plot((0, 1), (0, 1), color="#999999", linestyle=":", linewidth=1, label="y = x")
        for i, (name, points) in enumerate(series.items()):
            places, values = zip(*points, strict=True) if points else ((), ())
            dashes = ("-", "--", "-.")[i // len(COLOURS) % 3]
            (drawn,) = axes.plot(places, values, dashes, label=label(name), markersize=4)
            drawn.set(
                color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)] if len(points) <= MARKED else ""
            )
        if not series:
            _empty(axes)
        axes.relim()
        axes.autoscale()
        _lay_out(figure, axes)
        ends = (f"{name} from {_number(p[0][1])} to {_number(p[-1][1])}" for name, p in series.items() if p)
        return _plot(figure, title, ends)


def bars(
    title: str,
    values: Mapping[str, float],
    x: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    reference: float | None = None,
) -> Plot:
    """A horizontal bar for each name, first on top; `intervals` are (low, high); `reference` is drawn as a line."""
    with library().rc_context(_STYLE):
        figure, axes = _canvas(1.1 + 0.27 * max(2, len(values)), x, "", constrained=False)
        axes.grid(True, axis="x")
        places = np.arange(len(values))
        lengths = np.array([value if math.isfinite(value) else 0.0 for value in values.values()])
        axes.barh(places, lengths, height=0.66, color=COLOURS[0])
        for place, name in enumerate(values):
            if intervals and name in intervals and all(map(math.isfinite, intervals[name])):
                axes.plot(intervals[name], (place, place), color="#222222", linewidth=1.4, marker="|", markersize=6)
        if reference is not None:
            axes.axvline(reference, color=COLOURS[1], linestyle="--", linewidth=1.2)
        axes.set_yticks(places, [label(name) for name in values])
        axes.set_ylim(max(2, len(values)) - 0.4, -0.6)
        if not values:
            _empty(axes)
        _beside_names(figure, axes, [label(name) for name in values])
        return _plot(figure, title, (f"{name} {_number(value)}" for name, value in values.items()))


def heat(
    title: str, rows: Sequence[str], columns: Sequence[str], values: ArrayLike, limits: tuple[float, float]
) -> Plot:
    """values [rows, columns] as colours between the limits, whose middle is white; NaN is grey."""
    grid = np.asarray(values, dtype=float).reshape(len(rows), len(columns))
    with library().rc_context(_STYLE):
        names = max((len(label(name)) for name in columns), default=0)
        figure, axes = _canvas(0.8 + 0.28 * max(2, len(rows)) + 0.06 * names, "", "")
        if grid.size:
            colours = library().colormaps["PuOr_r"].with_extremes(bad="#dddddd")
            image = axes.imshow(grid, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
            figure.colorbar(image, ax=axes, shrink=0.8)
            axes.set_xticks(
                range(len(columns)), [label(name) for name in columns], rotation=55, ha="right", rotation_mode="anchor"
            )
            axes.set_yticks(range(len(rows)), [label(name) for name in rows])
            if len(columns) <= ANNOTATED:
                _annotate(axes, grid, limits)
        else:
            _empty(axes)
        cells = (
            f"{row} and {column} {_number(grid[i, j])}"
            for i, row in enumerate(rows)
            for j, column in enumerate(columns)
            if not math.isnan(grid[i, j])
        )
        return _plot(figure, title, cells)


def histogram(title: str, values: ArrayLike, x: str, bins: int | Sequence[float]) -> Plot:
    """How many values fall into each bin; a number of bins, or their edges. Values that are not finite are left out."""
    kept = np.asarray(values, dtype=float).ravel()
    counts, edges = np.histogram(kept[np.isfinite(kept)], bins=list(bins) if isinstance(bins, Sequence) else bins)
    return counted(title, counts.tolist(), edges.tolist(), x)


def counted(title: str, counts: Sequence[int], edges: Sequence[float], x: str) -> Plot:
    """A histogram whose bins are counted already; one more edge than counts."""
    with library().rc_context(_STYLE):
        figure, axes = _canvas(3.0, x, "count", constrained=False)
        axes.grid(True, axis="y")
        if any(counts):
            axes.stairs(counts, edges, fill=True, color=COLOURS[0])
            axes.vlines(edges[1:-1], 0, np.minimum(counts[:-1], counts[1:]), color="white", linewidth=0.8)
        else:
            _empty(axes)
        _lay_out(figure, axes)
        parts = (f"{_number(a)} to {_number(b)}: {n}" for n, a, b in zip(counts, edges, edges[1:], strict=False) if n)
        return _plot(figure, title, parts)


def label(text: str) -> str:
    """A name on one line: what the font lacks, or what would be invisible, becomes `?`; a long name loses its middle."""
    known = _glyphs()
    clean = "".join(c if ord(c) in known and c.isprintable() else "?" for c in " ".join(text.split()))
    half = LONGEST // 2
    return clean if len(clean) <= LONGEST else f"{clean[: half - 1]}…{clean[-half:]}"


@cache
def _glyphs() -> frozenset[int]:
    fonts = library().font_manager
    return frozenset(fonts.get_font(fonts.findfont(_FONT)).get_charmap())


def _canvas(height: float, x: str, y: str, constrained: bool = True) -> tuple[Any, Any]:
    layout: Literal["constrained"] | None = "constrained" if constrained else None
    # SVG's own dots, so that what is measured is drawn
    figure = library().figure.Figure(figsize=(WIDTH, height), dpi=72, layout=layout)
    library().backends.backend_svg.FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _lines_canvas() -> tuple[Any, Any]:
    figure, axes = _canvas(4.2, "", "", constrained=False)
    axes.grid(True)
    axes.locator_params("x", nbins=TICKS[0])
    axes.locator_params("y", nbins=TICKS[1])
    return figure, axes


@cache
def _used() -> tuple[Any, Any]:
    return _lines_canvas()


def _board() -> tuple[Any, Any]:
    """The same axes again, wiped and in the place of new ones: to make axes and ticks takes as long as half of all the rest."""
    figure, axes = _used()
    for drawn in [*axes.lines]:
        drawn.remove()
    figure.subplots_adjust(
        **{side: library().rcParams[f"figure.subplot.{side}"] for side in ("left", "bottom", "right", "top")}
    )
    return figure, axes


def _lay_out(figure: Any, axes: Any) -> None:
    """Put the legend to the right of the axes, and the axes into what it leaves, or into 2 inches if that is less."""
    width, height = figure.get_size_inches()
    beside = 0.1
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        beside += legend.get_window_extent().width / figure.dpi
    left, bottom, top = MARGINS
    right = max(width - beside, left + 2)
    figure.subplots_adjust(left / width, bottom / height, right / width, 1 - top / height)
    _name_axes(figure, axes)


def _name_axes(figure: Any, axes: Any) -> None:
    """Put the names of the axes at a fixed distance from the figure's edge."""
    width, height = figure.get_size_inches()
    blended = library().transforms.blended_transform_factory
    axes.xaxis.set_label_coords(0.5, LABELS / height, blended(axes.transAxes, figure.transFigure))
    axes.yaxis.set_label_coords(LABELS / width, 0.5, blended(figure.transFigure, axes.transAxes))


def _beside_names(figure: Any, axes: Any, names: Sequence[str]) -> None:
    """Put the axes right of their rows' names. What a constrained layout measures, by drawing all, the font knows."""
    width, height = figure.get_size_inches()
    fonts = library().font_manager
    font = fonts.get_font(fonts.findfont(_FONT))
    font.set_size(_STYLE["font.size"], figure.dpi)
    widest = 0.0
    for name in names:
        font.set_text(name)
        widest = max(widest, font.get_width_height()[0] / 64 / figure.dpi)
    _, below, above = MARGINS
    left = widest + BESIDE
    figure.subplots_adjust(left / width, below / height, 1 - BESIDE / width, 1 - above / height)
    _name_axes(figure, axes)


def _annotate(axes: Any, grid: NDArray[np.float64], limits: tuple[float, float]) -> None:
    middle, half = sum(limits) / 2, (limits[1] - limits[0]) / 2
    for (i, j), value in np.ndenumerate(grid):
        if not math.isnan(value):
            colour = "white" if abs(value - middle) > 0.65 * half else "black"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7)


def _empty(axes: Any) -> None:
    axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes, color="#666666")
    axes.set_xticks([])
    axes.set_yticks([])


def _number(value: float) -> str:
    return f"{value:.3g}"


def _plot(figure: Any, title: str, parts: Iterable[str]) -> Plot:
    buffer = io.BytesIO()
    canvas = library().backends.backend_svg.FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    uri = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
    listed = [*islice(parts, SAID + 1)]
    more = ", ..." if len(listed) > SAID else ""
    return Plot(title, uri, f"{title}: {', '.join(listed[:SAID]) or 'no data'}{more}")
