"""Plots: images that cannot run anything, the same bytes for the same numbers, whatever the names are."""

import base64
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.pages import plots
from evaluation.pages import svg as svg_module
from evaluation.pages.plots import Plot
from evaluation.pages.svg import COLOURS, MARKERS

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


EMPTY = {
    "line": plots.line("lines", {}, "x", "y"),
    "bars": plots.bars("bars", {}, "x"),
    "heat": plots.heat("heat", [], [], [], (0, 1)),
    "histogram": plots.histogram("values", [], "x", (0.5, 0.75, 1.0)),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_nothing_in_a_name_is_markup_or_a_formula(kind: str) -> None:
    elements = [*ET.fromstring(svg(every(HOSTILE)[kind])).iter()]
    drawn = {element.tag.rpartition("}")[2] for element in elements}
    assert drawn <= {"svg", "g", "path", "rect", "text", "linearGradient", "stop"}
    assert not any("alert" in str(element.attrib) for element in elements)
    said = [element.text for element in elements if element.tag.endswith("}text")]
    assert any(text and text.startswith("<script>") for text in said) == (kind != "histogram")


@pytest.mark.parametrize("kind", EMPTY)
def test_the_same_numbers_give_the_same_bytes(kind: str) -> None:
    assert every("a")[kind] == every("a")[kind]


@pytest.mark.parametrize("kind", EMPTY)
def test_no_data_is_said(kind: str) -> None:
    assert EMPTY[kind].alt.endswith(": no data")
    svg(EMPTY[kind])


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
    height = [float(str(tree.get("height"))) for tree in (tall, low)]
    assert height[0] > 4 * height[1]
    assert plots.label(names[3]) == "principle-with-a-name…d-on-and-on-for-long-3"
    assert plots.label("a\n b\u200b\ud800") == "a b??"


def paths(plot: Plot, colour: str) -> list[str]:
    """What is drawn in a colour, as the `d` of its paths."""
    elements = ET.fromstring(svg(plot)).iter("{http://www.w3.org/2000/svg}path")
    return [element.attrib["d"] for element in elements if colour in (element.get("stroke"), element.get("fill"))]


@pytest.mark.parametrize(("points", "markers"), [(plots.MARKED, plots.MARKED + 1), (plots.MARKED + 1, 0)])
def test_only_short_lines_have_markers(points: int, markers: int) -> None:
    drawn = paths(plots.line("lines", {"a": [(float(i), 0.0) for i in range(points)]}, "x", "y"), COLOURS[0])
    assert sum(d.count(MARKERS[0]) for d in drawn) == markers  # one more stands beside the name


def test_a_line_goes_through_its_points_and_has_a_gap_where_there_is_none() -> None:
    points = [(0.0, 0.0), (1.0, 1.0), (2.0, math.nan), (3.0, 1.0), (4.0, 0.0)]
    drawn = paths(plots.line("lines", {"a": points}, "x", "y"), COLOURS[0])[0]
    places = [[*map(float, place.split())] for place in re.split("[ML]", drawn)[1:]]
    assert re.sub(r"[^ML]", "", drawn) == "MLML"
    assert places[0][1] == places[3][1] > places[1][1] == places[2][1]
    across = [x for x, _ in places]
    assert across[1] - across[0] == pytest.approx((across[2] - across[1]) / 2, abs=0.02)


def test_bars_are_as_long_as_their_values() -> None:
    tree = ET.fromstring(svg(plots.bars("bars", {"a": 0.5, "b": 1.0, "c": -0.25, "d": math.nan}, "x")))
    bars = list(tree.iter("{http://www.w3.org/2000/svg}rect"))
    wide = [float(bar.attrib["width"]) for bar in bars]
    assert wide == pytest.approx([wide[1] / 2, wide[1], wide[1] / 4, 0], abs=0.02)
    left, right = float(bars[0].attrib["x"]), float(bars[2].attrib["x"]) + wide[2]
    assert left == pytest.approx(right, abs=0.02)


def test_a_histogram_is_as_high_as_its_counts() -> None:
    tree = ET.fromstring(svg(plots.counted("counts", [4, 0, 2], [0, 1, 2, 3], "x")))
    high = [float(bar.attrib["height"]) for bar in tree.iter("{http://www.w3.org/2000/svg}rect")]
    assert high == pytest.approx([high[0], high[0] / 2], abs=0.02)


def test_colours_stand_for_numbers() -> None:
    assert [svg_module.colour(share) for share in (-1, 0, 0.5, 1, 2)] == [
        "#2d004b",
        "#2d004b",
        "#f7f7f7",
        "#7f3b08",
        "#7f3b08",
    ]
    assert svg_module.colour(0.25) == "#8073ac"
    shown = plots.heat("heat", ["r"], ["a", "b", "c", "d"], [[-1, 1, -1, math.nan]], (-1, 1))
    assert [paths(shown, colour) for colour in ("#2d004b", "#7f3b08", "#dddddd")] == [
        ["M0 0h1v1h-1zM2 0h1v1h-1z"], ["M1 0h1v1h-1z"], ["M3 0h1v1h-1z"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "written"),
    [
        pytest.param([0.0, 1.0], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"], id="shares"),
        pytest.param([0.0, 69.0], ["0", "20", "40", "60"], id="steps"),
        pytest.param([-0.3, 0.9], ["-0.25", "0.00", "0.25", "0.50", "0.75"], id="quarters"),
        pytest.param(
            [1e9, 1e9 + 8], ["1000000000", "1000000002", "1000000004", "1000000006", "1000000008"], id="offset"
        ),
        pytest.param([0.0, 9e-5], ["0", "2e-05", "4e-05", "6e-05", "8e-05"], id="tiny"),
        pytest.param([0.0, 5e12], ["0", "1e+12", "2e+12", "3e+12", "4e+12", "5e+12"], id="huge"),
        pytest.param([123456.5], ["117500", "120000", "122500", "125000", "127500"], id="one"),
        pytest.param([0.0], ["-0.4", "-0.2", "0.0", "0.2", "0.4"], id="zero"),
    ],
)
def test_marks_of_an_axis_are_round_numbers_that_differ(values: list[float], written: list[str]) -> None:
    axis = svg_module.ticks(values, 6)
    assert [text for _, text in axis.marks] == written
    assert all(axis.low <= value <= axis.high for value in [*values, *(mark for mark, _ in axis.marks)])


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=5),
    most=st.integers(2, 9),
)
def test_any_axis_has_few_marks(values: list[float], most: int) -> None:
    axis = svg_module.ticks(values, most)
    assert axis.low < axis.high
    assert svg_module.ticks([*values, 1.7e308, -1.7e308], most).marks
    assert len(axis.marks) <= most + 1
    assert [float(text) for _, text in axis.marks] == pytest.approx(
        [mark for mark, _ in axis.marks], rel=1e-6, abs=1e-30
    )


def test_a_legend_and_its_axes_share_the_width() -> None:
    """In points, of 72 an inch: axes begin at 0.95 inches, end where a legend begins, and keep 2 inches whatever its names are."""

    def ends(name: str) -> float:
        (frame,) = (
            d for d in paths(plots.line("lines", {name: [(0, 0), (1, 1)]}, "x", "y"), "#888888") if "L68.4" not in d
        )
        start, end = (float(place.split()[0]) for place in frame[1:].split("L"))
        assert start == pytest.approx(68.4)
        return end

    assert ends("W" * 44) == pytest.approx(68.4 + 144)
    assert 68.4 + 144 < ends("loss of a rather long name") < 518.4 - 100 < ends("a") < 518.4 - 30
    whole = ET.fromstring(svg(plots.line("lines", {"W" * 44: [(0, 0), (1, 1)]}, "x", "y")))
    assert float(whole.attrib["width"]) > 68.4 + 144 + svg_module.width("W" * 44)
