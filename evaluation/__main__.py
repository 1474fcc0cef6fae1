"""`python -m evaluation diff RUN_A RUN_B`: what an edit did to the labels."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.diff import PairSide, RunDiff, RunError, compare_runs, read_pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand. Exit code 0 done, 2 bad arguments or files."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description="Read finished runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    diff = commands.add_parser("diff", help="pairs that flipped, appeared or went from RUN_A to RUN_B, by principle")
    diff.add_argument("run_a", type=Path, metavar="RUN_A")
    diff.add_argument("run_b", type=Path, metavar="RUN_B")
    diff.add_argument(
        "--show", type=int, default=10, metavar="N", help="list at most N pairs of each kind (default: 10)"
    )
    options = parser.parse_args(arguments)
    try:
        result = compare_runs(read_pairs(options.run_a), read_pairs(options.run_b))
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    show(result, options.show, Console(soft_wrap=True, highlight=False))
    return 0


def show(diff: RunDiff, most: int, console: Console) -> None:
    """Print the difference: totals, pairs of each kind, then the principles whose votes moved."""
    console.print(
        f"{diff.kept} pairs kept, {len(diff.flipped)} flipped, {len(diff.appeared)} appeared, {len(diff.went)} went",
        markup=False,
    )
    for old, new in diff.flipped[:most]:
        change = f"p {old.p_chosen:.3f} -> {1 - new.p_chosen:.3f}"
        console.print(f"  flipped   {old.chosen_id} > {old.rejected_id}   {change}", markup=False)
    for name, sides in (("appeared", diff.appeared), ("went", diff.went)):
        for side in sides[:most]:
            console.print(f"  {name:9} {_pair(side)}", markup=False)
    if not diff.principles:
        return
    table = Table(title="votes on the pairs both runs have")
    for column in ("principle", "in both", "changed sides", "mean |change|", "only in A", "only in B", "flipped pairs"):
        table.add_column(column, justify="left" if column == "principle" else "right")
    for name, s in sorted(diff.principles.items(), key=lambda item: (-item[1].flips, -item[1].mean_move, item[0])):
        counts = (str(s.both), str(s.turned), f"{s.mean_move:.3f}", str(s.only_a), str(s.only_b), str(s.flips))
        table.add_row(name, *counts)
    console.print(table)


def _pair(side: PairSide) -> str:
    return f"{side.chosen_id} > {side.rejected_id}   p {side.p_chosen:.3f}"


if __name__ == "__main__":
    sys.exit(main())
