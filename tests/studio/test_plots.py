"""Where bars and lines stand, what they say, and where they lead."""

import math

from studio.plots import CLIP, HEIGHT, LEFT, ROW, WIDTH, Bar, Curve, Lines, clip, histogram, lines, lying


def test_a_histogram_counts_from_each_edge_to_below_the_next() -> None:
    chart = histogram(
        "p", [0.4, 0.5, 0.59, 0.6, 0.6, 0.69, 0.9, 2.0], [0.5, 0.6, 0.7, 0.8], lambda low, high: f"{low:g}:{high:g}"
    )
    third = WIDTH / 3
    assert chart.bars == [
        Bar("0.5 to 0.6", "3", "-inf:0.6", 1, 0, third - 2, HEIGHT),
        Bar("0.6 to 0.7", "3", "0.6:0.7", third + 1, 0, third - 2, HEIGHT),
        Bar("0.7 to 0.8", "2", "0.7:inf", 2 * third + 1, HEIGHT / 3, third - 2, 2 * HEIGHT / 3),
    ]
    assert (chart.title, chart.height, chart.histogram) == ("p", HEIGHT + 20, True)
    assert chart.ticks == [(0, "0.5"), (third, "0.6"), (2 * third, "0.7"), (WIDTH, "0.8")]


def test_an_empty_histogram_has_flat_bars_and_many_bins_have_few_ticks() -> None:
    assert [bar.height for bar in histogram("p", [], [0, 1, 2], lambda low, high: "").bars] == [0, 0]
    many = histogram("p", [*range(2000)], [*range(31)], lambda low, high: "")
    assert [tick for _, tick in many.ticks] == [str(i) for i in range(0, 31, 3)]
    assert many.bars[-1].said == "1,971"


def test_bars_lie_under_each_other_and_none_is_too_short_to_see() -> None:
    chart = lying("votes", [("a", 4.0, "four", "/a"), ("b", 1.0, "one", "/b"), ("c", 0.0, "none", "/c")])
    room = WIDTH - LEFT - 110
    assert chart.bars == [
        Bar("a", "four", "/a", LEFT, 3, room, ROW - 6),
        Bar("b", "one", "/b", LEFT, ROW + 3, room / 4, ROW - 6),
        Bar("c", "none", "/c", LEFT, 2 * ROW + 3, 1, ROW - 6),
    ]
    assert (chart.height, chart.histogram) == (3 * ROW + 4, False)
    assert lying("votes", []).bars == []
    assert [bar.width for bar in lying("votes", [("a", 0.0, "", "")]).bars] == [1]


def test_a_long_name_ends_in_an_ellipsis() -> None:
    assert clip("x" * CLIP) == "x" * CLIP
    assert clip("x" * (CLIP + 1)) == "x" * (CLIP - 1) + "…"


def test_lines_fill_the_plot_and_say_its_ends() -> None:
    points = [(10.0, 1.0), (20.0, math.nan), (20.0, 3.0), (30.0, 2.0)]
    low, high, middle = HEIGHT - 4, 4, HEIGHT / 2
    assert lines("loss", [("a", points), ("b", [(20.0, 2.0)]), ("c", [(5.0, math.inf)])]) == Lines(
        "loss",
        [
            Curve("a", f"M0.0 {low:.1f}L{WIDTH / 2:.1f} {high:.1f}L{WIDTH:.1f} {middle:.1f}h.1", "2"),
            Curve("b", f"M{WIDTH / 2:.1f} {middle:.1f}h.1", "2"),
        ],
        "1", "3", "10", "30",
    )  # fmt: skip
    assert lines("loss", [("a", [(1.0, math.nan)])]) == Lines("loss", [], "", "", "", "")


def test_a_line_of_one_value_is_flat() -> None:
    assert lines("loss", [("a", [(3.0, 0.123456), (4.0, 0.123456)])]) == Lines(
        "loss",
        [Curve("a", f"M0.0 {HEIGHT - 4:.1f}L{WIDTH:.1f} {HEIGHT - 4:.1f}h.1", "0.1235")],
        "0.1235",
        "0.1235",
        "3",
        "4",
    )
