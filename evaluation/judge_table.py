"""What `python -m evaluation judge` prints."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from critics.weights import Estimate
from evaluation.assessment import Assessment
from evaluation.recorded import Parsing
from evaluation.section import LISTED

START, END = 45, 70
"""Characters of a text that are printed."""


def show(found: Assessment, console: Console) -> None:
    """Print every figure, at most LISTED voters, and each text that was read otherwise."""
    for reason, count in found.failures.items():
        console.print(f"missing: {reason} {count}", markup=False)
    console.print(f"{len(found.pairs)} pairs, {len(found.voters)} voters: {found.panel}", markup=False)
    console.print(_panel(found))
    console.print(_others(found))
    console.print(_parts(found))
    console.print(_voters(found))
    if found.parsing and found.parsing.texts:
        _parsing(found.parsing, console)


def interval(estimate: Estimate) -> str:
    """`90.1% [85.4, 93.4]`."""
    return f"{estimate.value:.1%} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def rows(found: Assessment) -> list[tuple[str, str]]:
    """The panel's figures by name."""
    share, bias, turns = found.flip_rate, found.mean_bias, found.sequential
    figures = [
        ("accuracy", interval(found.accuracy)),
        ("expected calibration error", f"{found.ece:.3f}"),
        ("negative log-likelihood", f"{found.nll:.3f}"),
        ("unfitted mean: accuracy", interval(found.unfitted.accuracy)),
        ("unfitted mean: calibration error", f"{found.unfitted.ece:.3f}"),
        ("votes that flip with the order", "" if share is None else f"{share:.1%}"),
        ("mean position bias, log-odds", "" if bias is None else f"{bias:+.3f}"),
    ]
    if turns:
        figures += [
            ("asked in turn: calls", f"{turns.calls_share:.1%}"),
            (f"asked in turn: same label, {turns.pairs} pairs", interval(turns.same_label)),
        ]
    return figures


def _panel(found: Assessment) -> Table:
    table = Table(show_header=False)
    for name, figure in rows(found):
        table.add_row(name, figure)
    return table


def _others(found: Assessment) -> Table:
    table = Table(title="against (McNemar's test)")
    for column in ("", "accuracy", "only panel right", "only other right", "p"):
        table.add_column(column, justify="left" if not column else "right")
    for name in [*found.baselines, *(name for name in found.comparisons if name not in found.baselines)]:
        test = found.comparisons.get(name)
        cells = (str(test.only_panel), str(test.only_other), f"{test.p:.2g}") if test else ("", "", "")
        table.add_row(
            escape(name.replace("_", " ")), interval(found.baselines[name]) if name in found.baselines else "", *cells
        )
    return table


def _parts(found: Assessment) -> Table:
    table = Table(title="accuracy by part")
    table.add_column("")
    table.add_column("accuracy", justify="right")
    for name, estimate in found.by_subset.items():
        table.add_row(escape(f"subset {name}"), interval(estimate))
    for name, estimate in found.by_order.items():
        table.add_row(f"single answers, {name.replace('_', ' listed ')}", interval(estimate))
    return table


def _voters(found: Assessment) -> Table:
    left = len(found.voters) - LISTED
    table = Table(title="voters that move the panel most" + (f" ({left} more in --json)" if left > 0 else ""))
    for column in ("voter", "accuracy", "weight", "flips", "bias", "votes"):
        table.add_column(column, justify="left" if column == "voter" else "right")
    for voter in found.voters[:LISTED]:
        flips = "" if voter.flip_rate is None else f"{voter.flip_rate:.1%}"
        bias = "" if voter.bias is None else f"{voter.bias:+.2f}"
        table.add_row(
            escape(voter.name), interval(voter.accuracy), f"{voter.weight:+.3f}", flips, bias, str(voter.votes)
        )
    return table


def _parsing(parsing: Parsing, console: Console) -> None:
    agreed = f"{parsing.agreed / parsing.recorded:.2%}" if parsing.recorded else "none"
    console.print(
        f"verdicts: {parsing.texts} texts, {parsing.unread} without a verdict; of {parsing.recorded} with a recorded winner "
        f"{parsing.agreed} are read alike ({agreed}), {len(parsing.differing)} otherwise",
        markup=False,
    )
    for found in parsing.differing:
        text = " ".join(found.text.split())
        said = text if len(text) <= START + END else f"{text[:START]} ... {text[-END:]}"
        console.print(f"  line {found.line}: {found.ours}, recorded {found.recorded}: {said}", markup=False)
