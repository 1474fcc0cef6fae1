"""Plots: images that cannot run anything, the same bytes for the same numbers, whatever the names are."""

import base64
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.axes import Axes

from evaluation.pages import plots
from evaluation.pages.plots import Plot
from tests.drawn import DRAW


@pytest.fixture(scope="module", autouse=True)
def anew() -> Iterator[None]:
    """What is tested here is drawing: no picture is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "draw", DRAW)
        yield


KINDS = "line", "bars", "heat", "histogram"
HOSTILE = "<script>alert(1)</script> $\\frac{1}{2}$ & \u202e\ud800 \x00 中"


def svg(plot: Plot) -> str:
    head, _, data = plot.uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    text = base64.b64decode(data).decode()
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    return text


def every(name: str) -> dict[str, Plot]:
    return {
        "line": plots.line("lines", {name: [(0, 0.5), (1, 0.7)], "other": []}, "x", "y", diagonal=True),
        "bars": plots.bars("bars", {name: 0.5, "none": math.nan}, "share", {name: (0.4, 0.6), "none": (math.nan, 1)}, 0.5),
        "heat": plots.heat("heat", [name, "b"], [name], np.array([[0.5], [math.nan]]), (-1, 1)),
        "histogram": plots.histogram("values", [0.1, 0.2, math.nan, math.inf], "x", 3),
    }  # fmt: skip


@pytest.fixture(scope="module")
def empty(anew: None) -> dict[str, Plot]:
    return {
        "line": plots.line("lines", {}, "x", "y"),
        "bars": plots.bars("bars", {}, "x"),
        "heat": plots.heat("heat", [], [], [], (0, 1)),
        "histogram": plots.histogram("values", [], "x", (0.5, 0.75, 1.0)),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_a_name_is_markup_or_a_formula(kind: str) -> None:
    elements = [*ET.fromstring(svg(every(HOSTILE)[kind])).iter()]
    drawn = {element.tag.rpartition("}")[2] for element in elements}
    assert drawn <= {"svg", "defs", "style", "g", "path", "use", "clipPath", "rect", "image"}
    assert not any("alert" in f"{element.attrib}{element.text}" for element in elements)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_give_the_same_bytes(kind: str) -> None:
    assert every("a")[kind] == every("a")[kind]


LINES: dict[str, tuple[dict[str, list[tuple[float, float]]], str, str, bool]] = {
    "plain": ({"a": [(1, 0.5), (2, 0.25)], "b": [(1, 3.0)]}, "step", "nats", False),
    "diagonal": ({"a": [(0.5, 0.4)]}, "confidence", "share right", True),
    "many": ({f"line {i}": [(j, i * j) for j in range(70)] for i in range(9)}, "", "", False),
    "offset": ({"a": [(i, 1e9 + i) for i in range(9)]}, "step", "tokens", False),
    "tiny": ({"a": [(i, -1e-7 * i) for i in range(900)]}, "step", "a rate", False),
    "a point": ({"a": [(1, 123456.5)], "none": []}, "step", "", False),
    "nothing": ({"a": []}, "x", "y", False),
    "not a number": ({"a": [(1, math.nan)]}, "x", "y", False),
    "empty": ({}, "x", "y", True),
}


@pytest.mark.model
def test_a_plot_of_lines_does_not_depend_on_the_one_before_it() -> None:
    """Lines are drawn on the same axes again and again: each kind after each other."""
    new = {}
    for kind, arguments in LINES.items():
        plots._used.cache_clear()
        new[kind] = plots.line("lines", *arguments)
    kinds, before = [*LINES], ""
    for i, one in enumerate(kinds):
        for kind in (one, *(kind for other in kinds[i + 1 :] for kind in (other, one))):
            assert svg(plots.line("lines", *LINES[kind])) == svg(new[kind]), f"{kind} after {before}"
            before = kind


@pytest.mark.parametrize("kind", KINDS)
def test_no_data_is_said(kind: str, empty: dict[str, Plot]) -> None:
    assert empty[kind].alt.endswith(": no data")
    svg(empty[kind])


def test_the_numbers_are_said_in_words() -> None:
    said = {kind: plot.alt for kind, plot in every("kind").items()}
    assert said == {
        "line": "lines: kind from 0.5 to 0.7",
        "bars": "bars: kind 0.5, none nan",
        "heat": "heat: kind and kind 0.5",
        "histogram": "values: 0.1 to 0.133: 1, 0.167 to 0.2: 1",
    }


def test_a_long_text_beside_a_plot_ends() -> None:
    plot = plots.bars("bars", {f"p{i}": i for i in range(100)}, "x")
    assert plot.alt.count(",") == plots.SAID
    assert plot.alt.endswith(", ...")


def test_many_long_names_stay_readable() -> None:
    names = [f"principle-with-a-name-that-goes-on-and-on-and-on-for-long-{i}" for i in range(40)]
    tall = ET.fromstring(svg(plots.bars("bars", dict.fromkeys(names, 0.5), "x")))
    low = ET.fromstring(svg(plots.bars("bars", dict.fromkeys(names[:4], 0.5), "x")))
    height = [float(str(tree.get("height")).removesuffix("pt")) for tree in (tall, low)]
    assert height[0] > 4 * height[1]
    assert plots.label(names[3]) == "principle-with-a-name…d-on-and-on-for-long-3"
    assert plots.label("a\n b\u200b\ud800") == "a b??"


def test_only_short_lines_have_markers() -> None:
    def drawn(points: int) -> int:
        shown = svg(plots.line("lines", {"a": [(float(i), 0.0) for i in range(points)]}, "x", "y"))
        return shown.count("#0072b2")  # the colour of the first line: one use of its marker for each point

    assert drawn(plots.MARKED) > plots.MARKED > 10 > drawn(plots.MARKED + 1) > 0


def test_a_legend_and_its_axes_share_the_width() -> None:
    """In points, of 72 an inch: axes begin at 0.95 inches, end where a legend begins, and keep 2 inches whatever its names are."""

    def ends(name: str) -> float:
        tree = ET.fromstring(svg(plots.line("lines", {name: [(0, 0), (1, 1)]}, "x", "y")))
        (clip,) = tree.iter("{http://www.w3.org/2000/svg}clipPath")
        assert float(clip[0].attrib["x"]) == pytest.approx(68.4)
        return float(clip[0].attrib["x"]) + float(clip[0].attrib["width"])

    assert ends("W" * 44) == pytest.approx(68.4 + 144)
    assert 68.4 + 144 < ends("loss of a rather long name") < 518.4 - 100 < ends("a") < 518.4 - 30
