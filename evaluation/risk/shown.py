"""What is promised of accepted labels, as tables and pages show it."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from constitution.terminal import printable
from critics.ranking.accept import Acceptance
from evaluation.pages import plots
from evaluation.pages.section import Section
from evaluation.pages.section import Table as Cells

Row = tuple[str, str]


def rows(found: Acceptance) -> list[Row]:
    """(name, figure)."""
    figures = []
    for number, step in enumerate(found.steps, 1):
        who = f"step {number}, {', '.join(step.judges)}: " if len(found.steps) > 1 else ""
        share = step.accepted / step.labels if step.labels else 0.0
        least = "none" if step.threshold is None else f"{step.threshold:.2f}"
        figures += [
            (f"{who}labelled pairs accepted", f"{step.accepted} of {step.labels} ({share:.1%}), {step.wrong} wrong"),
            (f"{who}least log-odds accepted", least),
        ]
    if found.seen:
        figures += [
            ("out of sample: accepted", f"{found.seen.accepted:.1%}"),
            ("out of sample: wrong among the accepted", f"{found.seen.error:.1%}"),
            ("out of sample: halves with more than the stated error", f"{found.seen.exceeded:.1%}"),
        ]
    return figures


def kinds(found: Acceptance) -> list[tuple[str, str, str]]:
    """(kind of pair, share among the accepted, share among all)."""
    return [(name, f"{kind.accepted:.1%}", f"{kind.all:.1%}") for name, kind in found.kinds.items()]


def show(found: Acceptance, console: Console) -> None:
    """Print the promise, what it rests on, and what kinds of pairs are accepted."""
    console.print(f"stated error: {printable(found.promise())}", markup=False)
    table = Table(show_header=False)
    for name, figure in rows(found):
        table.add_row(escape(printable(name)), figure)
    console.print(table)
    if not found.kinds:
        return
    table = Table(title="what acceptance selects")
    for column in ("kind of pair", "of the accepted", "of all"):
        table.add_column(column, justify="left" if column == "kind of pair" else "right")
    for name, *shares in kinds(found):
        table.add_row(escape(printable(name)), *shares)
    console.print(table)


def section(found: Acceptance) -> Section:
    """A part of a page."""
    text = (
        f"{found.promise()} Out of sample: the threshold from one half of the labelled pairs, the error on the other half, over "
        "many halvings. Accepted pairs are not like all pairs: the second table says of what kind they are."
    )
    parts: list[plots.Plot | Cells] = [Cells("", ("", "#figure"), rows(found))]
    if found.kinds:
        parts.append(Cells("What acceptance selects", ("kind of pair", "#of the accepted", "#of all"), kinds(found)))
    return Section("Labels with a stated error", text, parts)
