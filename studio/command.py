"""`solon studio RUN|CONSTITUTION`: the local web app."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from constitution.command import run_command
from constitution.options import add_options, read_options
from studio.settings import StudioSettings

EPILOG = (
    "Exit code: 0 when it was ended by Ctrl-C; 2 bad arguments or files; 3 a fault of Solon. "
    "Nothing is opened: follow the address that it prints."
)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m studio.command") -> int:
    """Serve until it is interrupted; returns the exit code. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A run or a constitution as a local web app: read pairs, see what an edit changes, label the few that matter.",
        epilog=EPILOG,
    )
    add_options(parser, StudioSettings)
    settings = read_options(parser.parse_args(arguments), StudioSettings)
    # by name, so that help does not wait for the server
    return int(import_module("studio.serving").serve(settings))


if __name__ == "__main__":
    sys.exit(run_command(main))
