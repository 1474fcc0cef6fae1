"""`python -m evaluation judge | audit | attack | verify | diff | policy`: how far the labels can be trusted, and what changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from constitution.command import run_command
from constitution.listing import add_listing
from constitution.options import Options, add_options, read_options
from evaluation.attack.settings import AttackSettings
from evaluation.audit.settings import AuditSettings
from evaluation.diff.settings import DiffSettings
from evaluation.episodes.settings import EpisodesSettings
from evaluation.judge.settings import JudgeSettings
from evaluation.policy.settings import PolicySettings
from evaluation.reasoning.settings import ReasoningSettings
from evaluation.verify.settings import VerifySettings
from generation.console import Console

EXIT = (
    "Exit code: 0 done; 1 a gate failed, or a model was unavailable and the same command resumes; 2 bad arguments or files; "
    "3 a fault of Solon."
)


RUN = "generation.config.RunConfig"


class Command(NamedTuple):
    """A subcommand: `evaluation/NAME/command.py` has its `run(settings, console) -> exit code`."""

    options: type[Options]
    purpose: str
    settings: str = ""
    """Dotted name of the model that `--config` and `--set` fill, where the command has them."""


COMMANDS: dict[str, Command] = {
    "judge": Command(
        JudgeSettings, "accuracy and calibration of a panel on labelled pairs; fits weights for its votes", RUN
    ),
    "audit": Command(
        AuditSettings,
        "biases, manipulation and duplicates in a run's labels: writes report.html; --gate is for CI",
        "evaluation.audit.thresholds.Thresholds",
    ),
    "attack": Command(AttackSettings, "how often manipulative responses win, with each defence on and off", RUN),
    "policy": Command(
        PolicySettings,
        "win rates of one policy over another, by several judges, and whether it overfits its judge",
        RUN,
    ),
    "episodes": Command(
        EpisodesSettings,
        "tool use over several steps: calls when needed, results used, waste; for one policy or two",
        RUN,
    ),
    "reasoning": Command(
        ReasoningSettings,
        "right against looks-right: does a judge see a false step, does a policy's answer follow from it",
        RUN,
    ),
    "verify": Command(
        VerifySettings, "what is wrong with anybody's preference data: labels, scores, repeats, leaks, texts"
    ),
    "diff": Command(
        DiffSettings, "pairs that flip, appear or disappear from a run to another, or by an edited constitution"
    ),
}


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m evaluation", console: Console | None = None
) -> int:
    """Run a subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure judges, audit runs, compare policies, test attacks on a judge, verify preference data.",
        epilog=EXIT,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        subcommand = commands.add_parser(name, help=command.purpose, description=command.purpose)
        add_options(subcommand, command.options)
        add_listing(subcommand, command.options, *filter(None, [command.settings]))

    def run() -> int:
        found = parser.parse_args(arguments)
        # by name, so that help does not wait for the libraries of every command
        module = import_module(f"evaluation.{found.command}.command")
        settings = read_options(found, COMMANDS[found.command].options)
        return int(module.run(settings, console or Console(soft_wrap=True, highlight=False)))

    return run_command(run, "run the same command again to resume")


if __name__ == "__main__":
    sys.exit(main())
