"""`solon COMMAND ...`: every program of the project under one name. A command's modules are imported when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import solon


class Command(NamedTuple):
    """A program that is a subcommand: `main(arguments, prog)` of a module."""

    module: str
    purpose: str


COMMANDS = {
    "feedback": Command("generate_feedback", "constitution and prompts in, a preference dataset out"),
    "constitution": Command("constitution.__main__", "lint, show, diff or import constitutions"),
    "evaluate": Command("evaluation.__main__", "measure judges, audit runs, compare policies"),
    "train": Command("training.__main__", "preference data in, a checkpoint out; or the whole loop, round after round"),
    "studio": Command(
        "studio.command", "read a run's pairs, edit its constitution and label pairs, in a local web app"
    ),
    "review": Command("solon.review", "label the pairs of a run where a label tells most"),
    "calls": Command("solon.calls", "what a model was asked, what it answered, and what was made of it"),
    "export": Command(
        "solon.export", "a finished run in the form of another tool: Argilla, Label Studio, KTO rows, rankings"
    ),
    "schema": Command("solon.schema", "write JSON Schemas, so that editors complete and check the YAML files"),
}


def parser() -> argparse.ArgumentParser:
    """The command line up to the command's name; what follows is the command's own."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.purpose}" for name, command in COMMANDS.items()]
    p = argparse.ArgumentParser(
        prog="solon",
        description=solon.__doc__,
        usage="solon [-h] [--version] COMMAND ...",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`solon COMMAND --help` shows its options. "
        "Exit code 0 done, 1 incomplete or a gate failed,\n2 bad arguments, files or settings, 3 a fault of Solon.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--version", action="version", version=f"solon {solon.__version__}")
    p.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Whichever it is, what it prints is clean, and it ends as all do."""
    if sys.platform == "win32":
        print("solon: Windows is not supported; use Linux, macOS or WSL", file=sys.stderr)
        return 2
    given = sys.argv[1:] if arguments is None else list(arguments)
    name = parser().parse_args(given[:1]).command
    # by name, so that help does not wait for what commands need
    command = import_module("constitution.command")
    return int(command.run_command(lambda: import_module(COMMANDS[name].module).main(given[1:], f"solon {name}")))


if __name__ == "__main__":
    sys.exit(main())
