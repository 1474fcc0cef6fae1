"""Write the tables of `docs/measured` from the figures that benchmarks kept in `benchmarks/results`.

    python -m benchmarks.tables            write them
    python -m benchmarks.tables --check    say which pages differ; exit code 1 if any does

A table stands between `<!-- figures: NAME NAME ... -->` and `<!-- end of figures -->`; the names are those of result files.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import RESULTS, ROOT, Figure, read_figures

PAGES = ROOT / "docs" / "measured"
_TABLE = re.compile(r"(<!-- figures: (?P<names>[\w -]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table: a row for each figure, a column for each of theirs; command and target where they tell rows apart."""
    columns = list(dict.fromkeys(figure.column for figure in figures))
    rows: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        rows.setdefault(figure.figure, {})[figure.column] = figure
    commands = len({figure.command for figure in figures}) > 1
    targets = any(figure.target for figure in figures)
    head = ["figure", *(["command"] if commands else []), *(["target"] if targets else []), *columns]
    lines = [head, ["---"] * len(head)]
    for name, cells in rows.items():
        first = next(iter(cells.values()))
        aims = "; ".join(dict.fromkeys(figure.target for figure in cells.values() if figure.target))
        told = [f"`{first.command}`"] if commands else []
        lines.append([name, *told, *([aims] if targets else []), *(cell(cells.get(column)) for column in columns)])
    return "".join(f"| {' | '.join(part.replace('|', '/') for part in line)} |\n" for line in lines)


def cell(figure: Figure | None) -> str:
    """A value with its unit, interval and note; empty where nothing was measured."""
    if figure is None:
        return ""
    if figure.value is None:
        return figure.note
    unit = figure.unit if figure.unit == "%" else f" {figure.unit}" if figure.unit else ""
    value, *ends = numbers(figure.value, *(figure.interval or ()))
    interval = f" [{', '.join(ends)}]" if ends else ""
    note = f"{' ' if figure.note.startswith('(') else '; '}{figure.note}" if figure.note else ""
    return f"{value}{unit}{interval}{note}"


def numbers(*values: float) -> list[str]:
    """All with the decimals that the first needs for four significant digits, or fewer where no value has them."""
    places = max(0, 4 - (len(str(int(abs(values[0])))) if abs(values[0]) >= 1 else 0))
    needed = max(len(f"{round(value, places):.{places}f}".rstrip("0").partition(".")[2]) for value in values)
    return [f"{value:,.{needed}f}" for value in values]


def with_tables(page: str, folder: Path = RESULTS) -> str:
    """A page's text with its tables written anew."""

    def made(found: re.Match[str]) -> str:
        figures = [figure for name in found["names"].split() for figure in read_figures(name, folder)]
        return f"{found[1]}{table(figures)}{found[3]}"

    return _TABLE.sub(made, page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and exit with 1 where a page is not up to date"
    )
    options = parser.parse_args(arguments)
    code = 0
    for path in sorted(PAGES.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (made := with_tables(page)) != page:
            told = "differs from the figures; run python -m benchmarks.tables" if options.check else "written"
            print(f"{path.relative_to(ROOT)}: {told}")
            code = 1 if options.check else 0
            if not options.check:
                path.write_text(made, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
