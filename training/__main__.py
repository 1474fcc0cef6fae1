"""`python -m training sft | reward | dpo | simpo | orpo | kto | process | ppo | best_of`: preference data in, a checkpoint out.

`python -m training loop` does it round after round. Alone, or on several processes under `accelerate launch -m training ...`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from constitution.checks import own
from constitution.command import run_command
from constitution.errors import Problem, UserError
from constitution.listing import add_listing
from generation.console import Console
from generation.settings import load
from training.catalogue import COMMANDS, LOOP, settings_model
from training.run import rank


def parser(prog: str = "python -m training") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Preference data in, an ordinary checkpoint out.",
        epilog="Run the same command again to resume. Exit code 0: done; 1: incomplete, or stopped by a health check or a gate; "
        "2: bad arguments, files or settings.",
    )
    commands = p.add_subparsers(dest="command", required=True)
    for name, entry in COMMANDS.items():
        c = commands.add_parser(name, help=entry.purpose, description=entry.purpose)
        if name == LOOP:
            c.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, as YAML")
            c.add_argument("--plan", action="store_true", help="list the steps and which of them are done, and stop")
        else:
            c.add_argument(
                "--data",
                action="append",
                default=[],
                metavar="DATA[=WEIGHT]",
                help="a run folder, a datasets folder, JSONL, parquet or a hub id; may be repeated, then mixed by weight",
            )
            c.add_argument("--model", help="the model to train: `embedded`, a local folder or a hub id")
            c.add_argument("--config", type=Path, metavar="FILE", help="settings, as YAML")
        if entry.online:
            c.add_argument(
                "--online",
                action="store_true",
                help="learn from pairs of the policy's own responses, which online.judge compares as they come",
            )
        c.add_argument(
            "--out", type=Path, required=True, metavar="FOLDER", help="folder for everything that is written"
        )
        c.add_argument(own.FLAG, action=own.LoadRules, metavar="FILE", help=own.HELP)
        c.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help=f"one setting, as in {entry.example}"
        )
        add_listing(c, entry.settings, switched={"online": entry.online} if entry.online else {})
    return p


def main(arguments: Sequence[str] | None = None, prog: str = "python -m training") -> int:
    """Run the command line. Returns the exit code; under a launcher of several processes, ends this one with it."""
    return rank.run(lambda: run_command(lambda: _run(arguments, prog), "run the same command again to resume"))


def _run(arguments: Sequence[str] | None, prog: str) -> int:
    options = parser(prog).parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if options.command == LOOP:
        loop = import_module("training.loop.command")
        return int(loop.run(options.config, options.set, options.out, options.plan, console))
    try:
        settings = settings_of(options)
    except UserError as error:
        rank.tell(error)
        return 2
    return int(import_module("training.commands").train(options.command, settings, options.out, console))


def settings_of(options: argparse.Namespace) -> Any:
    """The settings model that a recipe's command line gives. Raises UserError with every problem at once."""
    flags = {"model": options.model, "data": _sources(options.data) or None}
    example = COMMANDS[options.command].example
    online = getattr(options, "online", False)
    return load(settings_model(options.command, online), options.config, options.set, flags, example=example)


def _sources(given: Sequence[str]) -> dict[str, float]:
    """Name -> weight. Raises UserError for a name that is given twice."""
    sources: dict[str, float] = {}
    for text in given:
        name, weight = _source(text)
        if name in sources:
            fix = "give it once, with the sum of the weights"
            raise UserError(Problem(f"--data {name}", got="is given twice", fix=fix))
        sources[name] = weight
    return sources


def _source(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition("=")
    if not name or Path(text).exists():
        return text, 1.0
    try:
        return name, float(weight)
    except ValueError:
        return text, 1.0


if __name__ == "__main__":
    sys.exit(main())
