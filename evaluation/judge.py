"""`python -m evaluation judge`: a panel against labels; fits the weights that `generate_feedback.py --weights` uses."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel, ValidationError
from rich.console import Console

from critics.weights import Method, Origin, Weights, WeightsError, read_weights, refuse_other
from evaluation import asking
from evaluation.assessment import Assessment, assess, compared
from evaluation.ballots import Ballots
from evaluation.inputs import InputError
from evaluation.judge_page import page
from evaluation.judge_table import show
from evaluation.labelled import file_digest, read_labelled
from evaluation.measures import Floats
from evaluation.panels import Panel, fitted_panel, given_panel, weights_file
from evaluation.recorded import Parsing, described, read_recorded
from generation.folder import write_atomically


@dataclass(frozen=True, slots=True)
class Evidence:
    """Votes on labelled pairs and where they are from."""

    ballots: Ballots
    origin: Origin
    plain: Floats
    """[voters] the YAML's weights, equal ones for recorded votes."""
    parsing: Parsing | None
    failures: dict[str, int]


class Other(BaseModel):
    """What --versus reads of another evaluation's --json."""

    pairs: dict[str, float]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--votes", type=Path, metavar="FILE", help="recorded votes, as JSONL, plain or .gz")
    source.add_argument("--data", type=Path, metavar="FILE", help="labelled pairs to ask a live panel about")
    add("--subsets", type=Path, metavar="FILE", help="labelled pairs that --votes are about: their subsets and lengths")
    add("--weights", type=Path, metavar="FILE", help="judge by these weights (default: weights fitted here)")
    add("--fit", type=Path, metavar="FILE", help="fit weights on all pairs and write them")
    methods = get_args(Method)
    add("--method", choices=methods, default=methods[0], help="how weights are fitted (default: %(default)s)")
    add("--folds", type=int, default=10, metavar="N", help="of the cross-validation (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of the cut into folds (default: %(default)s)")
    add("--without", metavar="REGEX", help="leave out voters whose name this finds")
    add(
        "--error",
        type=float,
        default=0.005,
        metavar="P",
        help="asking in turn stops once the rest would change the label with at most this probability (default: %(default)s)",
    )
    add("--margin", type=float, default=0.0, metavar="LOGIT", help="a pair closer than this has no label (default: 0)")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    add("--page", type=Path, metavar="FILE", help="write a page with plots")
    add("--versus", type=Path, metavar="FILE", help="test against another evaluation's --json, on the pairs both have")
    asking.add_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Evaluate, print, write. Exit code 0 done, 2 bad arguments or files."""
    try:
        check(options)
        # before anything is paid for
        given = read_weights(options.weights) if options.weights else None
        other = read_other(options.versus) if options.versus else None
        evidence = read(options)
        found = judged(evidence, panel_of(evidence, given, options), other, options)
        if options.json:
            write(options.json, found.model_dump_json(indent=1) + "\n")
        if options.page:
            write(options.page, page(found))
        show(found, console)
    except (InputError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def check(options: argparse.Namespace) -> None:
    """Raises InputError with everything that is wrong with the options themselves."""
    problems = []
    if options.folds < 2:
        problems.append(f"--folds: got {options.folds}; allowed is 2 or more")
    if not 0 < options.error < 0.5:
        problems.append(f"--error: got {options.error}; allowed is more than 0 and less than 0.5")
    if not 0 <= options.margin < float("inf"):
        problems.append(f"--margin: got {options.margin}; allowed is 0 or more")
    if options.weights and options.fit:
        problems.append("--fit: writes new weights, --weights judges by given ones; give one of the two")
    if options.subsets and not options.votes:
        problems.append("--subsets: describes the pairs of --votes; --data has its own subsets")
    try:
        re.compile(options.without or "")
    except re.error as error:
        problems.append(f"--without: got {options.without!r}, which is not a regular expression ({error})")
    if problems:
        raise InputError("\n".join(problems))


def read(options: argparse.Namespace) -> Evidence:
    """The votes, recorded or asked for now, without the voters that are left out. Raises InputError."""
    parsing, failures = None, dict[str, int]()
    if options.votes:
        labelled = read_labelled(options.subsets)[0] if options.subsets else []
        ballots, parsing = read_recorded(options.votes)
        ballots = described(ballots, labelled) if labelled else ballots
        data = file_digest(options.votes)
        origin = Origin(constitution="", judges={}, templates="", data=data, pairs=len(ballots.pairs))
        known: dict[str, float] = dict.fromkeys(ballots.voters, 1 / len(ballots.voters))
    else:
        ballots, origin, known, failures, *_ = asking.ask(options)
    kept = ballots.without(options.without) if options.without else ballots
    if not kept.voters:
        raise InputError(
            f"no voter is left to evaluate (--without {options.without!r}); voters: {', '.join(ballots.voters)}"
        )
    plain = np.array([known.get(voter, 0.0) for voter in kept.voters])
    return Evidence(kept, origin, plain, parsing, failures)


def read_other(path: Path) -> dict[str, float]:
    """Pair's name -> logit of another evaluation. Raises InputError."""
    try:
        return Other.model_validate_json(path.read_bytes()).pairs
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path}: is not an evaluation ({error}); `python -m evaluation judge --json {path}` writes one"
        ) from None


def panel_of(evidence: Evidence, given: Weights | None, options: argparse.Namespace) -> Panel:
    """The panel that is evaluated; --fit is written here. Raises InputError and WeightsError."""
    if given:
        origin = evidence.origin
        if not options.votes:
            refuse_other(given, options.weights, origin.constitution, origin.judges, origin.templates)
        return given_panel(evidence.ballots, given, options.weights, origin.data, options.error, options.margin)
    panel, fitted = fitted_panel(evidence.ballots, evidence.plain, options)
    if options.fit:
        weights = weights_file(evidence.ballots, fitted, panel, options.method, evidence.origin)
        write(options.fit, weights.model_dump_json(indent=1) + "\n")
    return panel


def judged(evidence: Evidence, panel: Panel, other: dict[str, float] | None, options: argparse.Namespace) -> Assessment:
    """Every figure."""
    figures = assess(evidence.ballots, panel, evidence.plain, options.error, options.margin)
    found = Assessment.model_validate(
        figures
        | {"source": str(options.votes or options.data), "parsing": evidence.parsing, "failures": evidence.failures}
    )
    if other is None:
        return found
    test = compared(found.pairs, other)
    if not test.pairs:
        raise InputError(
            f"{options.versus}: shares no decided pair with {found.source}; name an evaluation of the same pairs"
        )
    return found.model_copy(update={"comparisons": found.comparisons | {f"versus {options.versus.name}": test}})


def write(path: Path, text: str) -> None:
    """Raises InputError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another file") from None
