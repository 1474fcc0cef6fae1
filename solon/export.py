"""`solon export RUN`: a finished run in the form of another tool."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from generation.output.exports.formats import FORMS, write


def main(arguments: Sequence[str] | None = None, prog: str = "python -m solon.export") -> int:
    """Run the command; returns 0. Raises UserError for bad files."""
    options = _parser(prog).parse_args(arguments)
    write(options.run, options.format, options.out)
    print(f"Written: {options.out}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    width = max(map(len, FORMS))
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Write a finished run in the form of another tool.",
        epilog="formats:\n" + "\n".join(f"  {name:{width}}  {form.purpose}" for name, form in FORMS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    parser.add_argument("--format", required=True, choices=FORMS, metavar="NAME", help="one of the formats below")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a new file")
    return parser
