"""`solon calls show`: what a model was asked, what it answered, and what was made of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path


def main(arguments: Sequence[str] | None = None, prog: str = "python -m solon.calls") -> int:
    """Run a subcommand; returns 0. Raises UserError for bad files, and where there is no such call."""
    options = _parser(prog).parse_args(arguments)
    # by name, so that help does not wait for what the command needs
    import_module("solon.lookup").show(options.run, options.id, options.pair, options.prompt)
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Look at the model calls of a run.")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="what was asked, what was answered, and what was made of it")
    show.add_argument("run", type=Path, metavar="RUN", help="a run's folder, finished or not")
    which = show.add_mutually_exclusive_group(required=True)
    one = "a call's key or its beginning; or a response, as PROMPT/s0: how it was written and criticised"
    which.add_argument("id", nargs="?", metavar="ID", help=one)
    two = "two responses, as 'CHOSEN REJECTED' or a vote's subject: every verdict on them"
    which.add_argument("--pair", metavar="PAIR", help=two)
    which.add_argument("--prompt", metavar="ID", help="a prompt: a line for each call about it")
    return parser
