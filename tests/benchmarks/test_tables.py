"""The tables of the measured pages are what the kept figures say."""

from pathlib import Path

import pytest

from benchmarks.common import RESULTS, Figure, machine, read_figures, record
from benchmarks.tables import PAGES, cell, numbers, table, with_tables


def figure(name: str, value: float | None, **more: object) -> Figure:
    known = {"command": "python -m benchmarks.x", "commit": "abc", "machine": "2 cores"}
    return Figure.model_validate({"figure": name, "value": value, **known, **more})


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_a_pages_tables_are_what_the_figures_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run python -m benchmarks.tables"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_kept_figures_are_read_and_stand_in_a_page(path: Path) -> None:
    assert all(each.command.startswith(("python -m benchmarks.", "make ")) for each in read_figures(path.stem))
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    named = {name for line in pages.splitlines() if line.startswith("<!-- figures: ") for name in line.split()[2:-1]}
    assert path.stem in named


def test_the_newest_value_stands_where_the_first_stood(tmp_path: Path) -> None:
    for each in (figure("speed", 1.0), figure("memory", 5.0), figure("speed", 2.0), figure("speed", 3.0, column="GPU")):
        record("x", each, tmp_path)
    found = read_figures("x", tmp_path)
    assert [(each.figure, each.column, each.value) for each in found] == [
        ("speed", "measured", 2.0), ("memory", "measured", 5.0), ("speed", "GPU", 3.0),
    ]  # fmt: skip
    page = "Before.\n<!-- figures: x -->\nold\n<!-- end of figures -->\nAfter.\n"
    assert with_tables(page, tmp_path) == (
        "Before.\n<!-- figures: x -->\n| figure | measured | GPU |\n| --- | --- | --- |\n| speed | 2 | 3 |\n| memory | 5 |  |\n"
        "<!-- end of figures -->\nAfter.\n"
    )


def test_commands_and_targets_have_a_column_where_they_tell_rows_apart() -> None:
    one = figure("speed", 0.97, target=">= 0.95", unit="times")
    other = figure("a|b", 12345.6, command="make loop")
    assert table([one, other]) == (
        "| figure | command | target | measured |\n| --- | --- | --- | --- |\n"
        "| speed | `python -m benchmarks.x` | >= 0.95 | 0.97 times |\n| a/b | `make loop` |  | 12,346 |\n"
    )


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"value": 42.7, "unit": "%", "interval": (36.3, 49.4)}, "42.7% [36.3, 49.4]"),
        ({"value": None, "note": "not measured"}, "not measured"),
        ({"value": 0.5, "unit": "s", "note": "0 calls"}, "0.5 s; 0 calls"),
        ({"value": 3.0, "note": "(of 4)"}, "3 (of 4)"),
    ],
)
def test_a_cell_has_value_unit_interval_and_note(more: dict[str, object], shown: str) -> None:
    assert cell(figure("x", **{"value": None, **more})) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((28062.4,), ["28,062"]),
        ((0.99951,), ["0.9995"]),
        ((3.0,), ["3"]),
        ((-0.19,), ["-0.19"]),
        ((45.1, 40.3, 50.0), ["45.1", "40.3", "50.0"]),
        ((59.0, 53.25, 66.0), ["59.00", "53.25", "66.00"]),
    ],
)
def test_numbers_have_four_digits_and_those_of_an_interval_as_many_decimals(
    values: tuple[float, ...], shown: list[str]
) -> None:
    assert numbers(*values) == shown


def test_a_machine_is_told_without_its_name() -> None:
    assert " cores, " in machine()
    assert "Python 3." in machine()
