"""`python -m constitution lint | show | diff | import`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from constitution.diff import diff
from constitution.importers import ImportFailed, read
from constitution.lint import warnings
from constitution.loading import ConstitutionError, load, load_with_places, to_yaml


def main(arguments: Sequence[str] | None = None, prog: str = "python -m constitution") -> int:
    """Run a subcommand. Exit code 0 done, 1 warnings under --strict, 2 bad arguments or files."""
    options = _parser(prog).parse_args(arguments)
    commands = {"lint": _lint, "show": _show, "diff": _diff, "import": _import}
    try:
        return commands[options.command](options)
    except (ConstitutionError, ImportFailed) as error:
        print(error, file=sys.stderr)
        return 2


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Read, check and compare constitutions.")
    commands = parser.add_subparsers(dest="command", required=True)
    lint = commands.add_parser("lint", help="report every error and warning, with file and line")
    lint.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    lint.add_argument("--strict", action="store_true", help="exit 1 when there are warnings")
    commands.add_parser("show", help="print objectives and principles").add_argument("path", type=Path, metavar="PATH")
    compare = commands.add_parser("diff", help="what an edit changes, and which calls it makes again")
    compare.add_argument("old", type=Path, metavar="OLD")
    compare.add_argument("new", type=Path, metavar="NEW")
    imported = commands.add_parser("import", help="make a constitution of JSON requests or a list of sentences")
    imported.add_argument("path", type=Path, metavar="FILE")
    imported.add_argument("--name", default="imported", help="the constitution's name (default: imported)")
    imported.add_argument(
        "--objective", default="harmlessness", help="the objective all of them serve (default: harmlessness)"
    )
    imported.add_argument("-o", "--out", type=Path, metavar="OUT", help="the YAML file to write (default: print it)")
    return parser


def _lint(options: argparse.Namespace) -> int:
    failed = warned = False
    for path in options.paths:
        try:
            found = warnings(load_with_places(path))
        except ConstitutionError as error:
            failed = True
            print(error, file=sys.stderr)
            continue
        warned = warned or bool(found)
        for problem in found:
            print(f"{problem.place}: warning: {problem.text}")
        print(f"{path}: ok" + (f", {len(found)} warnings" if found else ""))
    return 2 if failed else int(warned and options.strict)


def _show(options: argparse.Namespace) -> int:
    c = load(options.path)
    print(f"{c.name}, version {c.version}, digest {c.digest}")
    if c.description:
        print(c.description)
    for name, weight in c.objectives.items():
        print(f"\n{name} (weight {weight:g})")
        for p in c.principles:
            if p.objective == name:
                notes = [f"weight {p.weight:g}", "judged by a model" if p.judged else "judged by rule"]
                notes += ["veto"] * p.veto + ([f"for {', '.join(p.applies_to.tags)}"] if p.applies_to else [])
                print(f"  {p.id:28} {p.text}\n  {'':28} [{'; '.join(notes)}; {p.digest[:8]}]")
    return 0


def _diff(options: argparse.Namespace) -> int:
    found = diff(load(options.old), load(options.new))
    if not found:
        print("no difference")
    for name, old, new in found.objectives:
        before, after = ("none" if weight is None else f"{weight:g}" for weight in (old, new))
        print(f"objective {name}: weight {before} -> {after} (labels only, no calls)")
    for change in found.principles:
        fields = f": {', '.join(change.fields)}" if change.fields else ""
        print(f"principle {change.id}: {change.kind}{fields}; made again: {', '.join(change.again) or 'nothing'}")
    return 0


def _import(options: argparse.Namespace) -> int:
    text = to_yaml(read(options.path, options.name, options.objective))
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text, encoding="utf-8")
        print(f"{options.out}: {len(load(options.out).principles)} principles")
    return 0


if __name__ == "__main__":
    sys.exit(main())
