"""The page of `python -m evaluation judge`: the figures, plots, and the texts that were read otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from evaluation.judge.assessment import Assessment
from evaluation.judge.table import bias, by_subset, chance, interval, rows, share_or_dash
from evaluation.pages import plots
from evaluation.pages.plots import Plot
from evaluation.pages.section import Section, Table, bar_values
from evaluation.risk import shown
from generation.output.pages import render_html

TEMPLATE = Path(__file__).parent / "templates" / "judge.html.jinja"
MOST = 30
"""Voters that are plotted: those that move the panel most. --json has all."""


def page(found: Assessment) -> str:
    """One self-contained page."""
    accepted = [shown.section(found.acceptance)] if found.acceptance else []
    sections = [_accuracy(found), _certainty(found), *accepted, _voters(found), *_readings(found)]
    made_of = [
        ("panel", found.panel),
        ("labelled pairs", found.source),
        ("their digests", ", ".join(digest[:12] for digest in found.data)),
        ("made", f"{date.today():%Y-%m-%d}"),
    ]
    return render_html(TEMPLATE, found=found, rows=rows(found), sections=sections, made_of=made_of)


def _accuracy(found: Assessment) -> Section:
    text = (
        "The panel compared with simple baselines: the first-listed response, the longer one, the majority, the best voter "
        "alone (chosen in hindsight), each on the pairs that it has an answer for, with the panel's accuracy on those. p is "
        "McNemar's test on the pairs that both decide and only one of the two has right."
    )
    shown = {"panel": found.accuracy, **{name.replace("_", " "): e.accuracy for name, e in found.baselines.items()}}
    tests = [
        (name.replace("_", " "), test.only_panel, test.only_other, test.pairs, f"{test.p:.2g}")
        for name, test in found.comparisons.items()
    ]
    own = [
        (name.replace("_", " "), e.voter, interval(e.accuracy), e.pairs, interval(e.panel))
        for name, e in found.baselines.items()
    ]
    parts: list[Plot | Table] = [
        plots.bars("Accuracy of the panel and of the baselines", *bar_values(shown), reference=0.5),
        Table("", ("baseline", "voter", "#accuracy", "#pairs", "#panel on them"), own),
        Table("", ("other", "#only panel right", "#only other right", "#pairs both decide", "#p"), tests),
    ]
    if found.by_subset:
        parts.append(plots.bars("Accuracy by subset", *bar_values(found.by_subset), reference=0.5))
        (first, *names), voters = by_subset(found)
        parts.append(Table("Accuracy of voters by subset", (first, *(f"#{name}" for name in names)), voters))
    orders = {name.replace("_", " listed "): estimate for name, estimate in found.by_order.items()}
    parts.append(plots.bars("Single orders, by position of the better response", *bar_values(orders), reference=0.5))
    return Section("Accuracy", text, parts)


def _certainty(found: Assessment) -> Section:
    text = (
        "Confidence is the probability that the panel gives the response it prefers. On the diagonal it is as often right as it "
        "says; chance alone takes a perfectly calibrated panel of this size off it by a calibration error of "
        f"{chance(found.calibration)}. Coverage keeps the surest pairs: where the line falls to the right, "
        "a larger min_log_odds buys accuracy."
    )
    points = [(confidence, right) for confidence, right, _ in found.reliability]
    counts = [(f"{c:.3f}", f"{right:.3f}", n) for c, right, n in found.reliability]
    parts: list[Plot | Table] = [
        plots.line("Reliability", {"panel": points}, "confidence", "share right", diagonal=True),
        Table("", ("#mean confidence", "#share right", "#pairs"), counts),
        plots.line("Accuracy against coverage", {"panel": found.coverage}, "share of pairs kept", "accuracy"),
    ]
    return Section("Certainty", text, parts)


def _voters(found: Assessment) -> Section:
    text = (
        "A voter is one judge, asked by one method. A negative weight is a voter that is reliably wrong, or that says what others "
        "say and is subtracted from them. Ordered by how far a voter moves the panel."
    )
    shown = found.voters[:MOST]
    cells = [
        (
            v.name,
            interval(v.accuracy),
            f"{v.weight:+.3f}",
            share_or_dash(v.position_inconsistent),
            bias(v.bias),
            v.votes,
        )
        for v in found.voters
    ]
    parts: list[Plot | Table] = [
        plots.bars("Voters' accuracy", *bar_values({v.name: v.accuracy for v in shown}), reference=0.5),
        plots.bars("Voters' weights", {v.name: v.weight for v in shown}, "log-odds for each log-odds of its vote"),
        Table("All voters", ("voter", "#accuracy", "#weight", "#position-inconsistent", "#bias", "#votes"), cells),
    ]
    return Section("Voters", text, parts)


def _readings(found: Assessment) -> Sequence[Section]:
    parsing = found.parsing
    if parsing is None or not parsing.texts:
        return []
    text = (
        f"{parsing.texts} texts, {parsing.unread} without a verdict. Of {parsing.recorded} for which the file names a winner, "
        f"{parsing.agreed} are read alike; the others are below. The file's reading is another parser's, not the truth."
    )
    cells = [(d.line, d.ours, d.recorded, d.text) for d in parsing.differing]
    return [Section("Verdicts", text, [Table("", ("#line", "#read", "#recorded", "text"), cells)])]
