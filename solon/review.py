"""`solon review RUN`: the pairs of a run that a person should look at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from constitution.options import add_options, read_options
from evaluation.review.settings import ReviewSettings

EPILOG = "Without --next, --add, --progress and --json: pair after pair on the terminal, a key each. Labels go to RUN/review.jsonl."


def main(arguments: Sequence[str] | None = None, prog: str = "python -m solon.review") -> int:
    """Run the command; returns the exit code. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Look at the pairs of a run where a label tells most, and label them.", epilog=EPILOG
    )
    add_options(parser, ReviewSettings)
    settings = read_options(parser.parse_args(arguments), ReviewSettings)
    # by name, so that help does not wait for what the command needs
    console = import_module("generation.console").Console(soft_wrap=True, highlight=False)
    return int(import_module("evaluation.review.command").run(settings, console))
