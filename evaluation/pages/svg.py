"""What plots are drawn with: elements of SVG as text, widths of texts, ticks of an axis, colours."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
"""Okabe and Ito's, which people who are colour-blind can tell apart."""
MARKERS = (
    "m-2-2h4v4h-4z",
    "m0-2.4a2.4 2.4 0 1 0 .01 0z",
    "m0-3l2.8 5h-5.6z",
    "m0-3.2l2.6 3.2l-2.6 3.2l-2.6-3.2z",
    "m0 3l2.8-5h-5.6z",
    "m0-2.8l2.7 1.9l-1.1 3.2h-3.2l-1.1-3.2z",
    "m-.9-2.8h1.8v1.9h1.9v1.8h-1.9v1.9h-1.8v-1.9h-1.9v-1.8h1.9z",
)
"""Outlines, from the point that they surround: square, circle, triangle, diamond, triangle, pentagon, cross."""
SIZE = 9
"""Points of the type."""
_SCALE = ("#2d004b", "#8073ac", "#f7f7f7", "#e08214", "#7f3b08")
"""Purple over white to orange, after ColorBrewer's PuOr."""
_NARROW, _WIDE = set("ijltfrI.,:;'|!()[]/ -"), set("mwMWQO@%—")
_FARTHEST = 1e300
"""Values beyond are not on any axis."""
_LARGE, _SMALL = 11, -4
"""Powers of ten between which numbers are written out."""


class Ticks(NamedTuple):
    """An axis: where it begins and ends, and its marks."""

    low: float
    high: float
    marks: tuple[tuple[float, str], ...]
    """Value and what is written at it."""


def ticks(values: Sequence[float], most: int, margin: float = 0.05) -> Ticks:
    """An axis for these finite values, of which there is one at least, with at most so many steps.

    margin: share of their spread that is added at both ends.
    """
    low, high = max(min(values), -_FARTHEST), min(max(values), _FARTHEST)
    spread = high - low or abs(high) * 0.1 or 1.0
    low, high = (low - spread * margin, high + spread * margin) if high > low else (low - spread / 2, high + spread / 2)
    step = _step((high - low) / most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    marks = [i * step for i in range(first, last + 1)]
    return Ticks(low, high, tuple(zip(marks, _written(marks, step), strict=True)))


def _step(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((power * factor for factor in (1, 2, 2.5, 5) if power * factor >= least * (1 - 1e-9)), power * 10)


def _written(marks: Sequence[float], step: float) -> list[str]:
    """Marks with as many digits as tell them apart, all alike."""
    largest = max(map(abs, marks), default=0.0)
    power = math.floor(math.log10(largest)) if largest else 0
    digits = next(n for n in range(16) if math.isclose(round(step, n - _power(step)), step, rel_tol=1e-6))
    decimals = digits - _power(step)
    if _SMALL <= power < _LARGE:
        return [f"{mark + 0.0:.{max(0, decimals)}f}" for mark in marks]
    return [f"{mark + 0.0:.{max(0, decimals + power)}e}" if mark else "0" for mark in marks]


def _power(value: float) -> int:
    return math.floor(math.log10(value))


def width(text: str) -> float:
    """About as many points as a text is wide in the fonts that a page may find, and rather more."""
    return SIZE * sum(0.38 if c in _NARROW else 0.95 if c in _WIDE or ord(c) > 0x2E7F else 0.64 for c in text)


def number(value: float) -> str:
    """A coordinate, in hundredths of a point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; its content is markup already. Attributes are named with `_` for `-`."""
    written = "".join(
        f' {key.replace("_", "-")}="{number(value) if isinstance(value, float) else escape(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(x: float, y: float, content: str, anchor: str = "start", turned: float = 0, **attributes: object) -> str:
    """A text whose middle line is at y. anchor: start, middle or end of it is at x. turned: degrees, against the clock."""
    place: dict[str, object] = {"x": float(x), "y": y + 0.35 * SIZE}
    if turned:
        place = {"transform": f"translate({number(x)} {number(y)}) rotate({-turned:g})", "dy": "0.35em"}
    return element("text", escape(content), **{**place, "text_anchor": anchor, **attributes})


def line(x: float, y: float, to_x: float, to_y: float, colour: str, **attributes: object) -> str:
    """A straight line."""
    d = f"M{number(x)} {number(y)}L{number(to_x)} {number(to_y)}"
    return element("path", d=d, stroke=colour, fill="none", **attributes)


def path(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a line through points, with a gap where one is not finite."""
    parts, drawing = [], False
    for x, y in points:
        seen = math.isfinite(x) and math.isfinite(y)
        if seen:
            parts.append(f"{'L' if drawing else 'M'}{number(x)} {number(y)}")
        drawing = seen
    return "".join(parts)


def marked(points: Sequence[tuple[float, float]], marker: str) -> str:
    """The `d` of a marker around each point that is finite."""
    return "".join(f"M{number(x)} {number(y)}{marker}" for x, y in points if math.isfinite(x) and math.isfinite(y))


def colour(share: float) -> str:
    """A colour of the scale: 0 purple, 0.5 white, 1 orange."""
    place = min(max(share, 0.0), 1.0) * (len(_SCALE) - 1)
    left = min(int(place), len(_SCALE) - 2)
    low, high = ([int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in (_SCALE[left], _SCALE[left + 1]))
    mixed = (round(a + (b - a) * (place - left)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def scale(name: str) -> str:
    """The scale as a gradient from below, to be used as `url(#name)`."""
    stops = "".join(element("stop", offset=i / (len(_SCALE) - 1), stop_color=one) for i, one in enumerate(_SCALE))
    return element("linearGradient", stops, id=name, x1=0, y1=1, x2=0, y2=0)


def document(wide: float, high: float, content: str) -> str:
    """A whole picture as a `data:` address."""
    root = element(
        "svg",
        element("g", content, font_family="DejaVu Sans, Verdana, Arial, sans-serif", font_size=SIZE),
        xmlns="http://www.w3.org/2000/svg",
        width=float(wide),
        height=float(high),
        viewBox=f"0 0 {number(wide)} {number(high)}",
    )
    return "data:image/svg+xml;base64," + base64.b64encode(root.encode()).decode()
