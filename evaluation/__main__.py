"""`python -m evaluation judge | audit | attack | diff | policy`: how far the labels can be trusted, and what changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console

from evaluation.attack import command as robustness
from evaluation.audit import command as audit
from evaluation.diff import table as diff_table
from evaluation.judge import command as judge
from evaluation.policy import command as policy


class Command(Protocol):
    """A module that is a subcommand."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def run(self, options: argparse.Namespace, console: Console) -> int:
        """Do it; returns the exit code."""


COMMANDS: dict[str, tuple[Command, str]] = {
    "judge": (judge, "how right and how calibrated a panel is on labelled pairs; fits weights for its votes"),
    "audit": (audit, "what a run's labels can be trusted for: its report.html, warnings, a gate"),
    "attack": (robustness, "how often replies that try to win by other means do, with each defence on and off"),
    "policy": (policy, "how often one policy beats another, by what, and whether it learnt to please its judge"),
    "diff": (diff_table, "pairs that flipped, appeared or went from RUN_A to RUN_B, by voter"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m evaluation") -> int:
    """Run a subcommand. Exit code 0 done, 1 a gate failed or a judge was unavailable, 2 bad arguments or files."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Judges against labels, runs against thresholds, runs against runs.",
        epilog="Exit code 0 done, 1 a gate failed or a judge was unavailable, 2 bad arguments or files.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, purpose) in COMMANDS.items():
        module.configure(commands.add_parser(name, help=purpose, description=purpose))
    options = parser.parse_args(arguments)
    return COMMANDS[options.command][0].run(options, Console(soft_wrap=True, highlight=False))


if __name__ == "__main__":
    sys.exit(main())
