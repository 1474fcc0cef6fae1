"""Sections of an audit about its votes: position, decisiveness, agreement, objectives, control pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from evaluation.audit.data import Audit
from evaluation.audit.sections.front import front
from evaluation.pages import plots
from evaluation.pages.plots import Plot
from evaluation.pages.section import LISTED, NOTHING, Section, Table, bar_values, percent
from evaluation.statistics import share
from generation.output.manifest import Counts, Probability

MOST = 40
"""Voters that are shown: those that voted most. --json has all."""
FEW = 5
"""A cell of a map, and a bar, with fewer pairs is left empty."""
FRONTS = 3
"""Pairs of objectives whose mixtures are shown."""
FEWEST = 10
"""A histogram of fewer values is not drawn."""


def most(audit: Audit) -> list[int]:
    """Indices of the voters that are shown, in their order."""
    return sorted(np.argsort(-audit.voters.votes, kind="stable")[:MOST].tolist())


def filled_heat(title: str, rows: Sequence[str], columns: Sequence[str], grid: ArrayLike) -> list[Plot]:
    """A map of shares, unless more than half of it would be empty."""
    known = np.isfinite(np.asarray(grid, dtype=float).reshape(len(rows), len(columns)))
    return [plots.heat(title, rows, columns, grid, (0, 1))] if known.size and known.mean() >= 0.5 else []


def places(audit: Audit) -> Section:
    """What a response's place did to the votes."""
    v = audit.voters
    shown = [i for i in most(audit) if v.ordered[i]]
    inconsistent = {v.names[i]: share(v.position_inconsistent[i], int(v.votes[i])) for i in shown}
    rows = [
        (v.names[i], int(v.votes[i]), f"{v.strength[i] / v.votes[i]:.3f}", *_place_cells(audit, i)) for i in most(audit)
    ]
    text = (
        "A vote is the judge's log-odds for one response over the other, without position bias. The bias is above 0 if the judge "
        "prefers the response that is listed first. A vote is position-inconsistent if the judge chose the same position in both "
        "orders. Pointwise judging methods and rules have no position bias."
    )
    drawn = [
        plots.bars("Position-inconsistent votes", *bar_values(inconsistent), reference=audit.thresholds.position_inconsistent),
        plots.bars("Mean position bias", {v.names[i]: v.bias[i] / v.votes[i] for i in shown}, "log-odds for the first position"),
    ] if shown else []  # fmt: skip
    columns = ("voter", "#votes", "#mean |vote|", "#mean bias", "#inconsistent", "#sides with the label")
    return Section("Position", text, [*drawn, Table("", columns, rows)] if rows else [])


def _place_cells(audit: Audit, i: int) -> tuple[str, str, str]:
    v, label = audit.voters, audit.pairs.with_label[audit.voters.keys[i]]
    place = (
        (f"{v.bias[i] / v.votes[i]:+.3f}", percent(v.position_inconsistent[i] / v.votes[i]))
        if v.ordered[i]
        else ("", "")
    )
    return (*place, percent(label.share.value))


def decisions(audit: Audit) -> Section:
    """How far from one half the labels are."""
    log_odds = np.asarray(audit.pairs.log_odds)
    if len(log_odds) < FEWEST:
        return NOTHING
    text = (
        "p_chosen is the label that training sees: near one half the votes could not decide. Their log-odds are its logit. "
        f"{_probability(audit.manifest.probability)} {_others(audit.manifest.counts)}"
    )
    rules = [(name, used.applied, used.decided) for name, used in audit.manifest.rules.items()]
    parts: list[Plot | Table] = [
        plots.histogram("p_chosen of the pairs", 1 / (1 + np.exp(-log_odds)), "p_chosen", np.linspace(0.5, 1, 21).tolist()),
        plots.histogram("Log-odds of the pairs", log_odds, "log-odds", 20),
    ]  # fmt: skip
    if rules:
        columns = ("rule", "#comparisons that it applies to", "#kept by one and broken by the other")
        parts.append(Table("Rules", columns, rules))
    return Section("How sure the labels are", text, parts)


def _probability(found: Probability) -> str:
    """What the labels are."""
    if found.how == "fitted":
        return "They are fitted: votes are weighed and calibrated on labelled pairs."
    if found.voters is None or found.voters_effective is None or found.rho is None or found.temperature is None:
        return "They are mean votes, no calibrated probabilities."
    sure = (
        f" All votes are divided by {found.temperature:.1f}, as they contradict each other."
        if found.temperature > 1
        else ""
    )
    return (
        f"They are pooled without labels: the mean vote times the effective number of voters. On average {found.voters:.1f} voters "
        f"are worth {found.voters_effective:.1f} (their errors correlate by {found.rho:.2f}, by {found.pairs:,} comparisons).{sure}"
    )


def _others(counts: Counts) -> str:
    """The labels that are no votes of the panel."""
    people = f" People decided {counts.human_pairs:,} pairs." if counts.human_pairs else ""
    return (
        f"Vetoes decided {counts.vetoed:,} of {counts.comparisons:,} comparisons, and rules alone {counts.rule_pairs:,} of "
        f"{counts.pairs:,} pairs.{people}"
    )


def agreement(audit: Audit) -> Section:
    """Which voters pull together and which apart."""
    v, shown = audit.voters, most(audit)
    if len(shown) < 2:
        return NOTHING
    names = [v.names[i] for i in shown]
    grid = np.where(v.both >= FEW, v.agreement, np.nan)[np.ix_(shown, shown)]
    clashes = [
        (share(v.same[i, j], int(v.both[i, j])), v.names[j], v.names[i], int(v.both[i, j]))
        for n, i in enumerate(shown)
        for j in shown[:n]
    ]
    worst = sorted((clash for clash in clashes if clash[0].high < 0.5), key=lambda clash: (clash[0].high, clash[1:]))
    rows = [
        (a, b, n, percent(same.value), f"{percent(same.low)} to {percent(same.high)}")
        for same, a, b, n in worst[:LISTED]
    ]
    text = (
        "Share of pairs on which two voters prefer the same response, of those on which both have a preference. Independent voters "
        "agree on 50%; below that they contradict each other. Listed are pairs of voters whose 95% interval is below 50%."
    )
    parts: list[Plot | Table] = [
        *filled_heat("Agreement between voters", names, names, grid),
        Table("Most in conflict", ("voter", "and", "#pairs", "#same side", "#95%"), rows),
    ]
    return Section("Agreement and conflict", text, parts)


def objectives(audit: Audit) -> Section:
    """Which objectives win, and at whose cost."""
    sides = {name: tally for name, tally in sorted(audit.pairs.objectives.items()) if tally.n}
    names = [*sides]
    if not names:
        return NOTHING
    trades = audit.pairs.trades
    grid = np.full((len(names), len(names)), np.nan)
    for (a, b), tally in trades.items():
        i, j = names.index(a), names.index(b)
        grid[i, j] = grid[j, i] = tally.hits / tally.n
    rows = [
        (a, b, tally.n, tally.hits, percent(tally.hits / tally.n))
        for (a, b), tally in sorted(trades.items(), key=lambda item: (-item[1].hits / item[1].n, item[0]))
    ]
    text = (
        "Each objective has its own score for a pair: how often the label agrees with it, and in how many pairs two objectives "
        "disagree, so that their weights decide."
    )
    parts: list[Plot | Table] = [
        plots.bars(
            "Pairs in which the label follows an objective", *bar_values({n: t.share for n, t in sides.items()})
        ),
    ]
    if len(names) > 1:
        columns = ("objective", "and", "#pairs with both", "#one wins, one loses", "#share")
        parts += [plots.heat("Objectives that disagree", names, names, grid, (0, 1)), Table("", columns, rows)]
    parts += _fronts(audit)
    return Section("Objectives", text, parts)


def _fronts(audit: Audit) -> Iterator[Plot | Table]:
    """What other weights would make of the pairs, for the objectives that disagree most."""
    trades = audit.pairs.trades
    worst = sorted(trades, key=lambda pair: (-trades[pair].hits / trades[pair].n, pair))[:FRONTS]
    for a, b in worst:
        points = front(audit.pairs.scores[a, b])
        if len(points) < 2:  # they agree, or one decides whatever the weights are
            continue
        title = f"{a} against {b}: mixtures of their weights"
        yield plots.line(
            title, {"front": [point.agrees for point in points]}, f"labels follow {a}", f"labels follow {b}"
        )
        rows = [
            (f"{point.weights[0]:.2f} : {point.weights[1]:.2f}", *(percent(share) for share in point.agrees))
            for point in points
        ]
        yield Table(
            "These weights under objectives: of the constitution, all others 0", (f"{a} : {b}", f"#{a}", f"#{b}"), rows
        )


def controls(audit: Audit) -> Section:
    """How the judges did on pairs with a known answer."""
    kinds = {kind: tally.share for kind, tally in sorted(audit.controls.kinds.items())}
    if not kinds:
        return NOTHING
    known = {audit.voters.names[i]: audit.controls.voters[key] for i, key in enumerate(audit.voters.keys)}
    voters = {name: tally.share for name, tally in known.items() if tally.n}
    text = (
        "Pairs with a known answer, judged in every run. A voter's share counts the pairs on which it has a preference."
    )
    parts: list[Plot | Table] = [
        plots.bars(
            "Control pairs with the right label, by kind", *bar_values(kinds), reference=audit.thresholds.controls
        ),
        plots.bars(
            "Votes for the right response, by voter", *bar_values(dict([*voters.items()][:MOST])), reference=0.5
        ),
    ]
    return Section("Control pairs", text, parts)
