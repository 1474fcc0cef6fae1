"""`python -m evaluation judge`: a panel against labels; fits the weights that `generate_feedback.py --weights` uses."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel, ValidationError
from rich.console import Console

from constitution.errors import InputError, UserError
from constitution.terminal import complain
from critics.ranking.weights import Method, Origin, Weights, read_weights, refuse_other
from evaluation.files import check_writable, write
from evaluation.judge import asking, unlabelled
from evaluation.judge.assessment import Assessment, assess, compared
from evaluation.judge.ballots import Ballots
from evaluation.judge.fitting import fit_agreement
from evaluation.judge.labelled import file_digest, read_labelled
from evaluation.judge.page import page
from evaluation.judge.panels import Panel, enough, fitted_panel, given_panel, weights_file
from evaluation.judge.recorded import Parsing, described, read_recorded, two_orders
from evaluation.judge.table import show
from evaluation.judge.unlabelled import Unlabelled, weighed
from evaluation.measures import Floats
from generation.pipeline.scheduler import UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Evidence:
    """Votes on labelled pairs and where they are from."""

    ballots: Ballots
    origin: Origin
    plain: Floats
    """[voters] the YAML's weights, equal ones for recorded votes."""
    parsing: Parsing | None
    failures: dict[str, int]

    @property
    def labelled(self) -> bool:
        """Whether the better replies are known."""
        return self.parsing is None or self.parsing.labelled

    @property
    def lost(self) -> int:
        """Pairs whose judge stayed unavailable."""
        return sum(count for reason, count in self.failures.items() if reason.endswith(f": {UNAVAILABLE}"))


class Other(BaseModel):
    """What --versus reads of another evaluation's --json."""

    data: tuple[str, ...]
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
    """Evaluate, write, print. Exit code 0 done, 1 a judge stayed unavailable, 2 bad arguments or files."""
    try:
        check(options)
        # before any call is made
        check_writable(options.fit, options.json, options.page)
        given = read_weights(options.weights) if options.weights else None
        other = read_other(options.versus) if options.versus else None
        evidence = read(options)
        if evidence.lost:
            unfitted = f"; {options.fit} is not written" if options.fit else ""
            complain(
                f"incomplete: the judge was unavailable for {evidence.lost} pairs{unfitted}; run the same command again to resume"
            )
        if evidence.ballots.voters:
            _evaluate(evidence, given, other, options, console)
    except UserError as error:
        complain(error)
        return 2
    return 1 if evidence.lost else 0


def _evaluate(
    evidence: Evidence,
    given: Weights | None,
    other: Other | None,
    options: argparse.Namespace,
    console: Console,
) -> None:
    found: Assessment | Unlabelled
    if evidence.labelled:
        found = judged(evidence, panel_of(evidence, given, options), other, options)
    else:
        found = agreeing(evidence, options)
    if options.json:
        write(options.json, found.model_dump_json(indent=1) + "\n")
    if isinstance(found, Unlabelled):
        unlabelled.show(found, console)
        return
    if options.page:
        write(options.page, page(found))
    show(found, console)


def check(options: argparse.Namespace) -> None:
    """Raises InputError with everything that is wrong with the options themselves."""
    problems = []
    if options.folds < 2:
        problems.append(f"--folds: got {options.folds}; allowed: 2 or more")
    if not 0 < options.error < 0.5:
        problems.append(f"--error: got {options.error}; allowed: more than 0 and less than 0.5")
    if not 0 <= options.margin < float("inf"):
        problems.append(f"--margin: got {options.margin}; allowed: 0 or more")
    if options.weights and options.fit:
        problems.append("--fit: writes new weights, --weights judges by given ones; give one of the two")
    if options.votes:
        live = ("constitution", "judge", "engine", "config", "set", "reuse")
        given = [f"--{name}" for name in live if getattr(options, name)]
        given += ["--limit"] if options.limit is not None else []
        if given:
            problems.append(
                f"{', '.join(given)}: for a panel that is asked about --data; recorded --votes are read as they are"
            )
    elif options.limit is not None and options.limit < 1:
        problems.append(f"--limit: got {options.limit}; allowed: 1 or more")
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
        free = options.method == "agreement" and not (options.weights or options.page or options.versus)
        ballots, parsing = read_recorded(options.votes, labels=not free)
        ballots, others = two_orders(ballots, options.votes)
        failures = {"voters asked in one order only": others} if others else {}
        ballots = described(ballots, labelled) if labelled else ballots
        data = file_digest(options.votes)
        origin = Origin(constitution="", judges={}, templates="", data=data, pairs=len(ballots.pairs))
        known: dict[str, float] = dict.fromkeys(ballots.voters, 1 / len(ballots.voters))
    else:
        ballots, origin, known, failures, *_ = asking.ask(options)
    kept = ballots.without(options.without) if options.without else ballots
    if ballots.voters and not kept.voters:
        raise InputError(
            f"no voter is left to evaluate (--without {options.without!r}); voters: {', '.join(ballots.voters)}"
        )
    plain = np.array([known.get(voter, 0.0) for voter in kept.voters])
    return Evidence(kept, origin, plain, parsing, failures)


def read_other(path: Path) -> Other:
    """Another evaluation. Raises InputError."""
    try:
        return Other.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: is not an evaluation ({reason}); `python -m evaluation judge --json {path}` writes one"
        ) from None


def panel_of(evidence: Evidence, given: Weights | None, options: argparse.Namespace) -> Panel:
    """The panel that is evaluated; --fit is written here. Raises UserError."""
    if given:
        origin = evidence.origin
        if not options.votes:
            refuse_other(given, options.weights, origin.constitution, origin.judges, origin.templates, origin.judging)
        return given_panel(evidence.ballots, given, options.weights, origin.data, options.error, options.margin)
    panel, fitted = fitted_panel(evidence.ballots, evidence.plain, options)
    if options.fit and not evidence.lost:
        _write_weights(
            weights_file(evidence.ballots, fitted, panel.logits, options.method, evidence.origin), options.fit
        )
    return panel


def agreeing(evidence: Evidence, options: argparse.Namespace) -> Unlabelled:
    """What voters without labels say of each other; --fit is written here. Raises InputError."""
    enough(evidence.ballots)
    fitted = fit_agreement(evidence.ballots.votes)
    if options.fit:
        _write_weights(weights_file(evidence.ballots, fitted, None, "agreement", evidence.origin), options.fit)
    return weighed(evidence.ballots, fitted, str(options.votes), evidence.failures)


def _write_weights(weights: Weights, path: Path) -> None:
    """Without the figures that nobody could work out."""
    write(path, weights.model_dump_json(indent=1, exclude=None if weights.quality else {"quality"}) + "\n")


def judged(evidence: Evidence, panel: Panel, other: Other | None, options: argparse.Namespace) -> Assessment:
    """Every figure."""
    data = tuple(file_digest(path) for path in (options.data, options.votes, options.subsets) if path)
    figures = assess(evidence.ballots, panel, evidence.plain, options.error, options.margin)
    found = Assessment.model_validate(
        figures
        | {
            "source": str(options.votes or options.data),
            "data": data,
            "parsing": evidence.parsing,
            "failures": evidence.failures,
        }
    )
    if other is None:
        return found
    if not set(data) & set(other.data):
        raise InputError(
            f"{options.versus}: data: is of other files ({', '.join(d[:12] for d in other.data) or 'none'}) than this evaluation "
            f"({', '.join(d[:12] for d in data)}); allowed: one of the same --data, --votes or --subsets: evaluate one file twice"
        )
    test = compared(found.pairs, other.pairs)
    if not test.pairs:
        raise InputError(
            f"{options.versus}: shares no decided pair with {found.source}; name an evaluation of the same pairs"
        )
    return found.model_copy(update={"comparisons": found.comparisons | {f"versus {options.versus.name}": test}})
