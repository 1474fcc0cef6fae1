"""What `python -m evaluation judge` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from constitution.terminal import printable
from critics.ranking.weights import Estimate
from evaluation.calibration import Calibration
from evaluation.judge.assessment import Assessment, VoterFigures
from evaluation.judge.batching import BatchAgreement
from evaluation.judge.recorded import ParsingSummary
from evaluation.pages.section import LISTED
from evaluation.risk import shown

START, END = 45, 70
"""Characters of a text that are printed."""
WIDTHS = (24, 10, 8, 8, 8)
"""Of a voter's figures."""
FEW = 4
"""Subsets whose accuracies are printed for each voter; more are on the page and in the JSON."""


def show(found: Assessment, console: Console) -> None:
    """Print every figure, at most LISTED voters, and each text that was read otherwise."""
    for reason, count in found.failures.items():
        console.print(f"missing: {printable(reason)} {count}", markup=False)
    for warning in found.warnings:
        console.print(f"warning: {printable(warning)}", markup=False)
    console.print(f"{len(found.pairs)} pairs, {len(found.voters)} voters: {printable(found.panel)}", markup=False)
    if found.batch:
        console.print(batched(found.batch), markup=False)
    console.print(_panel(found))
    console.print(_others(found))
    if single := found.baselines["best_single_voter"].voter:
        console.print(f"best single voter: {printable(single)}", markup=False)
    console.print(_parts(found))
    if found.acceptance:
        shown.show(found.acceptance, console)
    _voters(found.voters, console)
    if found.parsing and found.parsing.texts:
        _parsing(found.parsing, console)


def batched(found: BatchAgreement) -> str:
    """One sentence."""
    correlation = "-" if found.correlation is None else f"{found.correlation:.2f}"
    return (
        f"{found.principles} principles a call: {found.calls} calls for {found.calls_single}; the same side as with one principle "
        f"a call in {interval(found.same_side)} of {found.votes} votes, correlation {correlation}"
    )


def interval(estimate: Estimate) -> str:
    """`90.1% [85.4, 93.4]`."""
    return f"{estimate.value:.1%} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def rows(found: Assessment) -> list[tuple[str, str]]:
    """The panel's figures by name."""
    share, mean, turns = found.position_inconsistent, found.mean_bias, found.sequential
    figures = [
        ("accuracy", interval(found.accuracy)),
        ("expected calibration error", f"{found.calibration.ece:.3f}"),
        ("  of a perfectly calibrated panel", chance(found.calibration)),
        ("  without what chance adds (RMS)", f"{found.calibration.debiased:.3f}"),
        ("calibration slope (1 is calibrated)", _slope(found.calibration.slope)),
        ("negative log-likelihood", f"{found.nll:.3f}"),
        ("mean vote, pooled: accuracy", interval(found.unfitted.accuracy)),
        ("mean vote, pooled: calibration error", f"{found.unfitted.ece:.3f}"),
        ("position-inconsistent votes", share_or_dash(share)),
        ("mean position bias, log-odds", "" if mean is None else f"{mean:+.3f}"),
    ]
    if turns:
        figures += [
            ("early stopping: share of voters queried", f"{turns.queried_share:.1%}"),
            (f"early stopping: same label, {turns.pairs} pairs", interval(turns.same_label)),
        ]
    return figures


def chance(found: Calibration) -> str:
    """What calibration error chance alone would show."""
    return f"{found.expected:.3f}, up to {found.high:.3f} in 95%"


def _slope(found: Estimate) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _panel(found: Assessment) -> Table:
    table = Table(show_header=False)
    for name, figure in rows(found):
        table.add_row(name, figure)
    return table


def _others(found: Assessment) -> Table:
    table = Table(title="against (McNemar's test: pairs that only one has right)")
    for column in ("", "accuracy", "pairs", "panel there", "only panel", "only other", "p"):
        table.add_column(column, justify="left" if not column else "right")
    for name in [*found.baselines, *(name for name in found.comparisons if name not in found.baselines)]:
        test = found.comparisons.get(name)
        cells = (str(test.only_panel), str(test.only_other), f"{test.p:.2g}") if test else ("", "", "")
        other = found.baselines.get(name)
        own = (interval(other.accuracy), str(other.pairs), f"{other.panel.value:.1%}") if other else ("", "", "")
        table.add_row(escape(printable(name.replace("_", " "))), *own, *cells)
    return table


def _parts(found: Assessment) -> Table:
    table = Table(title="accuracy by part")
    table.add_column("")
    table.add_column("accuracy", justify="right")
    for name, estimate in found.by_subset.items():
        table.add_row(escape(printable(f"subset {name}")), interval(estimate))
    for name, estimate in found.by_order.items():
        table.add_row(f"single answers, {name.replace('_', ' listed ')}", interval(estimate))
    return table


def _voters(voters: Sequence[VoterFigures], console: Console) -> None:
    """Plain lines: names are long, and a table would break them."""
    left = len(voters) - LISTED
    more = f" ({left} more in --json)" if left > 0 else ""
    console.print(
        f"voters that move the panel most{more}: accuracy, weight, position-inconsistent, bias, votes", markup=False
    )
    for voter in voters[:LISTED]:
        console.print(f"  {printable(voter.name)}", markup=False)
        cells = (
            interval(voter.accuracy),
            f"{voter.weight:+.3f}",
            share_or_dash(voter.position_inconsistent),
            bias(voter.bias),
            str(voter.votes),
        )
        console.print("".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)), markup=False)
        if len(voter.by_subset) <= FEW:
            for name, estimate in voter.by_subset.items():
                console.print(f"{interval(estimate):>{WIDTHS[0]}}  {printable(name)}", markup=False)


def by_subset(found: Assessment) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(columns, rows) of the accuracy of the heaviest voters in each subset; no rows where there is only one."""
    names = tuple(found.by_subset)
    voters = found.voters[:LISTED] if names else ()
    cells = ((interval(v.by_subset[name]) if name in v.by_subset else "" for name in names) for v in voters)
    return ("voter", *names), [(v.name, *row) for v, row in zip(voters, cells, strict=True)]


def share_or_dash(share: float | None) -> str:
    """A share of votes that chose a position."""
    return "" if share is None else f"{share:.1%}"


def bias(value: float | None) -> str:
    """A position bias in log-odds."""
    return "" if value is None else f"{value:+.2f}"


def _parsing(parsing: ParsingSummary, console: Console) -> None:
    agreed = f"{parsing.agreed / parsing.recorded:.2%}" if parsing.recorded else "none"
    console.print(
        f"verdicts: {parsing.texts} texts, {parsing.unread} without a verdict; of {parsing.recorded} with a recorded winner "
        f"{parsing.agreed} are read alike ({agreed}), {len(parsing.differing)} otherwise",
        markup=False,
    )
    for found in parsing.differing:
        text = printable(" ".join(found.text.split()))
        excerpt = text if len(text) <= START + END else f"{text[:START]} ... {text[-END:]}"
        console.print(f"  line {found.line}: {found.ours}, recorded {found.recorded}: {excerpt}", markup=False)
