"""`python -m constitution lint | show | diff | import | test | learn`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from constitution.checks import own
from constitution.command import run_command
from constitution.diff import diff
from constitution.errors import UserError
from constitution.importers import read
from constitution.lint import warnings
from constitution.listing import add_listing
from constitution.loading import load, load_with_places, shipped, to_yaml
from constitution.options import Options, add_options, read_options
from constitution.principles import Principle
from constitution.terminal import complain
from critics.methods import fields_read
from evaluation.principles.settings import LearnSettings, TestSettings
from generation.console import Console


class Asking(NamedTuple):
    """A subcommand that asks models: `run(settings, console) -> exit code` of a module."""

    module: str
    options: type[Options]
    purpose: str


ASKING = {
    "test": Asking(
        "evaluation.principles.command", TestSettings, "what is wrong with each principle, by how judges vote under it"
    ),
    "learn": Asking(
        "evaluation.principles.learning", LearnSettings, "a short list of principles that explains labelled pairs"
    ),
}
RUN = "generation.config.RunConfig"


def main(arguments: Sequence[str] | None = None, prog: str = "python -m constitution") -> int:
    """Run a subcommand. Exit code 0 done, 1 warnings under --strict, 2 bad arguments or files, 3 a fault of Solon.

    prog: what the help calls this command.
    """
    return run_command(lambda: _run(_parser(prog).parse_args(arguments)), "run the same command again to resume")


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "lint":
            return _lint(options.paths, options.strict)
        case "show":
            _show(options.path)
        case "diff":
            _diff(options.old, options.new)
        case "import":
            _import(options.path, options.name, options.objective, options.out)
        case name:
            # by name, so that the other commands do not wait for what asks models
            module = import_module(ASKING[name].module)
            settings = read_options(options, ASKING[name].options)
            return int(module.run(settings, Console(soft_wrap=True, highlight=False)))
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Read, check and compare constitutions.",
        epilog=f"PATH is a YAML file, or the name of a shipped constitution: {', '.join(shipped())}.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    lint = commands.add_parser("lint", help="report every error and warning, with file and line")
    lint.add_argument("paths", nargs="+", metavar="PATH")
    lint.add_argument("--strict", action="store_true", help="exit 1 when there are warnings")
    show = commands.add_parser("show", help="print objectives and principles")
    show.add_argument("path", metavar="PATH")
    compare = commands.add_parser("diff", help="what an edit changes, and which calls it makes again")
    compare.add_argument("old", metavar="OLD")
    compare.add_argument("new", metavar="NEW")
    for name, command in ASKING.items():
        asking = commands.add_parser(name, help=command.purpose, description=command.purpose)
        add_options(asking, command.options)
        add_listing(asking, command.options, RUN)
    imported = commands.add_parser("import", help="make a constitution of JSON requests or a list of sentences")
    imported.add_argument("path", type=Path, metavar="FILE")
    imported.add_argument("--name", default="imported", help="the constitution's name (default: imported)")
    imported.add_argument(
        "--objective", default="harmlessness", help="the objective all of them serve (default: harmlessness)"
    )
    imported.add_argument("-o", "--out", type=Path, metavar="OUT", help="the YAML file to write (default: print it)")
    for judging in (lint, show, compare):
        judging.add_argument(own.FLAG, action=own.LoadRules, metavar="FILE", help=own.HELP)
    return parser


def _lint(paths: Sequence[str], strict: bool) -> int:
    failed = warned = False
    for path in paths:
        try:
            found = warnings(load_with_places(path))
        except UserError as error:
            failed = True
            complain(error)
            continue
        warned = warned or bool(found)
        for problem in found:
            print(f"{problem.place}: warning: {problem._replace(place='')}")
        print(f"{path}: ok" + (f", {len(found)} warnings" if found else ""))
    return 2 if failed else int(warned and strict)


def _show(path: str) -> None:
    c = load(path)
    print(f"{c.name}, version {c.version}, digest {c.digest}")
    if c.description:
        print(c.description)
    for name, weight in c.objectives.items():
        print(f"\n{name} (weight {weight:g})")
        for principle in c.principles:
            if principle.objective == name:
                print(f"  {principle.id:28} {principle.text}\n  {'':28} [{_notes(principle)}]")


def _notes(p: Principle) -> str:
    """What else there is to know of a principle."""
    notes = [f"weight {p.weight:g}", "judged by a model" if p.judged else "judged by rule"]
    notes += ["veto"] * p.veto + ([f"for {', '.join(p.applies_to.tags)}"] if p.applies_to else [])
    return "; ".join([*notes, p.digest[:8]])


def _diff(old: str, new: str) -> None:
    found = diff(load(old), load(new), fields_read())
    if not found:
        print("no difference")
    for name, weight, changed in found.objectives:
        before, after = ("none" if w is None else f"{w:g}" for w in (weight, changed))
        print(f"objective {name}: weight {before} -> {after} (labels only, no calls)")
    for change in found.principles:
        fields = f": {', '.join(change.fields)}" if change.fields else ""
        print(f"principle {change.id}: {change.kind}{fields}; made again: {', '.join(change.again) or 'nothing'}")


def _import(path: Path, name: str, objective: str, out: Path | None) -> None:
    text = to_yaml(read(path, name, objective))
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
        print(f"{out}: {len(load(out).principles)} principles")


if __name__ == "__main__":
    sys.exit(main())
