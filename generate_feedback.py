"""Principles and prompts in, a preference dataset out.

    python generate_feedback.py --constitution hhh --prompts prompts.jsonl --out runs/NAME

The same command again resumes. Exit code 0 done; 1 incomplete, nothing came out or too many prompts failed; 2 bad arguments or
files; 3 a fault of Solon.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from constitution.command import run_command
from constitution.listing import add_listing
from constitution.options import add_options, read_options
from generation.console import Console
from generation.request import FeedbackSettings

EXIT = (
    "The same command again resumes a run. Exit code 0 done; 1 incomplete, nothing came out or too many prompts failed; "
    "2 bad arguments or files; 3 a fault of Solon."
)


def main(arguments: Sequence[str] | None = None, prog: str = "generate_feedback.py") -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog=prog, description=FeedbackSettings.__doc__, epilog=EXIT)
    add_options(parser, FeedbackSettings)
    add_listing(parser, FeedbackSettings, "generation.config.RunConfig")

    def run() -> int:
        settings = read_options(parser.parse_args(arguments), FeedbackSettings)
        # by name, so that help does not wait for the libraries that make a run
        return int(import_module("solon.produce").run(settings, Console(highlight=False)))

    return run_command(run, "run the same command again to resume")


if __name__ == "__main__":
    sys.exit(main())
