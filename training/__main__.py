"""`python -m training sft | reward | dpo | ppo | best_of`: data in, an ordinary checkpoint out. `loop`: the same round after round.

Alone, or on several processes under `accelerate launch -m training ...`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from constitution.errors import Problem, UserError
from generation import settings as reading
from training.catalogue import RECIPES
from training.config import Training
from training.run import rank

LOOP = "loop"


def parser(prog: str = "python -m training") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Preference data in, an ordinary checkpoint out.",
        epilog="The same command again resumes. Exit code 0 done, 1 a health check or a gate stopped it, 2 bad arguments or files.",
    )
    commands = p.add_subparsers(dest="recipe", required=True)
    for name, (kind, purpose) in RECIPES.items():
        c = commands.add_parser(
            name, help=purpose, description=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        c.add_argument(
            "--data",
            action="append",
            default=[],
            metavar="DATA[=WEIGHT]",
            help="a run folder, a datasets folder, JSONL, parquet or a hub id; several are mixed by weight",
        )
        model = kind.model_fields["model"].default
        c.add_argument("--model", help=f"`embedded`, a local folder or a hub id (settings' default: {model})")
        c.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the checkpoint goes")
        c.add_argument("--config", type=Path, metavar="FILE", help="settings, as YAML")
        c.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in lora.r=8")
    _add_loop(commands)
    return p


def _add_loop(commands: Any) -> None:
    purpose = "round after round: sample, label, train, evaluate, and keep what passes the gates"
    c = commands.add_parser(
        LOOP, help=purpose, description=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    c.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, as YAML")
    c.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where everything goes")
    c.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in retry.times=2")
    c.add_argument("--plan", action="store_true", help="say which steps there are and which are done, and stop")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m training") -> int:
    """Run the command line; returns the exit code."""
    options = parser(prog).parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    # What runs is imported by name, so that help and wrong settings need not wait for the libraries that train.
    if options.recipe == LOOP:
        loop = import_module("training.loop.command")
        return int(loop.run(options.config, options.set, options.out, options.plan, console))
    try:
        settings = settings_of(options)
    except UserError as error:
        rank.tell(error)
        return 2
    return int(import_module("training.commands").train(options.recipe, settings, options.out, console))


def settings_of(options: argparse.Namespace) -> Training:
    """The settings that a command line gives. Raises UserError with every problem at once."""
    flags = {"model": options.model, "data": _sources(options.data) or None}
    return reading.load(RECIPES[options.recipe].kind, options.config, options.set, flags, example="lora.r=8")


def _sources(given: Sequence[str]) -> dict[str, float]:
    """Name -> weight. Raises UserError for a name that is given twice."""
    sources: dict[str, float] = {}
    for text in given:
        name, weight = _source(text)
        if name in sources:
            raise UserError(
                Problem(f"--data {name}", got="is given twice", fix="give it once, with the sum of the weights")
            )
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
