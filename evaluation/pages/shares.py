"""A page of shares with their intervals: bars, and a table that says what each is the share of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from critics.ranking.weights import Estimate
from evaluation.pages import plots
from evaluation.pages.section import Section, Table, bar_values, percent
from generation.output.pages import render_html

TEMPLATE = Path(__file__).parent / "templates" / "shares.html.jinja"


def shares_section(
    title: str, text: str, shares: Mapping[str, Estimate], meanings: Mapping[str, str], reference: float | None = None
) -> Section:
    """Bars and a table; what has no value is in the table alone. reference: drawn as a line."""
    known = {name: one for name, one in shares.items() if one.value == one.value}
    rows = [
        (
            name,
            percent(one.value),
            f"{percent(one.low)} to {percent(one.high)}" if name in known else "",
            meanings.get(name, ""),
        )
        for name, one in shares.items()
    ]
    drawn = [plots.bars(title, *bar_values(known), reference=reference)] if known else []
    return Section(title, text, [*drawn, Table("", ("", "#share", "#95% interval", "of"), rows)])


def shares_page(title: str, made_of: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """One self-contained page."""
    return render_html(TEMPLATE, title=title, made_of=made_of, sections=sections)
