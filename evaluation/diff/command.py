"""`python -m evaluation diff RUN_A RUN_B`: what an edit did to the labels."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from constitution.errors import Problems
from constitution.loading import load
from constitution.terminal import printable
from evaluation.diff.ballots import read_ballots
from evaluation.diff.revoting import Effect, Kind, Recount
from evaluation.diff.runs import PairSide, RunDiff, compare_runs, read_pairs
from evaluation.diff.settings import DiffSettings
from generation.output.run import open_run

WORDS: dict[Kind, str] = {"flipped": "flipped", "appeared": "appeared", "gone": "disappeared"}


def run(settings: DiffSettings, console: Console) -> int:
    """Compare and print. Raises UserError where a folder is not a finished run."""
    if not settings.run_b.is_dir():
        constitution = load(settings.run_b)
        show_effect(Recount(read_ballots(open_run(settings.run_a))).effect(constitution), settings.show, console)
        return 0
    problems, pairs = Problems(), []
    for folder in (settings.run_a, settings.run_b):
        with problems.collect():
            pairs.append(read_pairs(folder))
    problems.check()
    show(compare_runs(*pairs), settings.show, console)
    return 0


def show_effect(effect: Effect, most: int, console: Console) -> None:
    """Print what an edit does: totals, pairs of each kind, by principle, and what was not asked yet."""
    counts = [f"{effect.count(kind)} {word}" for kind, word in WORDS.items()]
    console.print(f"{effect.kept} pairs kept, {', '.join(counts)}", markup=False)
    for kind, word in WORDS.items():
        for one in [one for one in effect.moved if one.kind == kind][:most]:
            before, after = ("none" if z is None else f"{z:+.3f}" for z in (one.before, one.after))
            why = one.principle or one.reason
            line = f"  {word:11} {one.first} > {one.second}   log-odds {before} -> {after}   {why}"
            console.print(printable(line), markup=False)
    for name, kinds in effect.by_principle().items():
        counts = [f"{count} {WORDS[kind]}" for kind, count in kinds.items()]
        console.print(printable(f"{name or 'no principle'}: {', '.join(counts)}"), markup=False)
    for name, count in sorted(effect.unasked.items()):
        line = f"{name}: not asked about {count} pairs yet, which are counted without it; `solon feedback --reuse` asks"
        console.print(printable(line), markup=False)


def show(diff: RunDiff, most: int, console: Console) -> None:
    """Print the difference: totals, pairs of each kind, then the voters that moved."""
    console.print(
        f"{diff.kept} pairs kept, {len(diff.flipped)} flipped, {len(diff.appeared)} appeared, {len(diff.disappeared)} disappeared",
        markup=False,
    )
    for old, new in diff.flipped[:most]:
        change = f"p {old.p_chosen:.3f} -> {1 - new.p_chosen:.3f}"
        console.print(f"  flipped     {_names(old)}   {change}", markup=False)
    for name, sides in (("appeared", diff.appeared), ("disappeared", diff.disappeared)):
        for side in sides[:most]:
            console.print(f"  {name:11} {_pair(side)}", markup=False)
    if not diff.voters:
        return
    table = Table(title="votes on the pairs both runs have")
    for column in ("voter", "in both", "changed sides", "mean |change|", "only in A", "only in B", "flipped pairs"):
        table.add_column(column, justify="left" if column == "voter" else "right", no_wrap=column == "voter")
    for name, s in sorted(diff.voters.items(), key=lambda item: (-item[1].flips, -item[1].mean_move, item[0])):
        counts = (str(s.both), str(s.turned), f"{s.mean_move:.3f}", str(s.only_a), str(s.only_b), str(s.flips))
        table.add_row(escape(printable(name)), *counts)
    console.print(table)


def _pair(side: PairSide) -> str:
    return f"{_names(side)}   p {side.p_chosen:.3f}"


def _names(side: PairSide) -> str:
    return printable(f"{side.chosen_id} > {side.rejected_id}")
