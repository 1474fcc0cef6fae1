"""`python -m evaluation judge`: a panel against labels; fits the weights that `generate_feedback.py --weights` uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from constitution.errors import Problem, UserError
from constitution.terminal import complain
from critics.ranking.weights import Origin, Weights, read_weights, refuse_other
from evaluation.files import check_writable, write
from evaluation.judge import asking, unlabelled
from evaluation.judge.assessment import Assessment, assess, compared
from evaluation.judge.batching import BatchAgreement
from evaluation.judge.fitting import fitter
from evaluation.judge.labelled import labelled_digest, read_labelled
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.page import page
from evaluation.judge.panels import (
    UNLABELLED,
    Panel,
    acceptance_of,
    doubtful,
    enough,
    fitted_panel,
    given_panel,
    weights_file,
    whole_fit,
)
from evaluation.judge.recorded import ParsingSummary, described, read_recorded, two_orders
from evaluation.judge.settings import JudgeSettings
from evaluation.judge.table import show
from evaluation.judge.unlabelled import AgreementReport, weighed
from evaluation.statistics import Floats
from generation.data.source import source_digest
from generation.pipeline.scheduler import UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Evidence:
    """Votes on labelled pairs and where they are from."""

    matrix: VoteMatrix
    origin: Origin
    plain: Floats
    """[voters] the YAML's weights, equal ones for recorded votes."""
    parsing: ParsingSummary | None
    failures: dict[str, int]
    batch: BatchAgreement | None = None
    warnings: tuple[str, ...] = ()
    """What makes the votes doubtful."""

    @property
    def labelled(self) -> bool:
        """Whether the better responses are known."""
        return self.parsing is None or self.parsing.labelled

    @property
    def lost(self) -> int:
        """Pairs whose judge stayed unavailable."""
        return sum(count for reason, count in self.failures.items() if reason.endswith(f": {UNAVAILABLE}"))


class Other(BaseModel):
    """What --versus reads of another evaluation's --json."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    data: tuple[str, ...]
    """Digests of the files that its pairs are from."""
    pairs: dict[str, float]
    """Pair's name -> log-odds for the better response."""


def run(settings: JudgeSettings, console: Console) -> int:
    """Evaluate, write, print. Exit code 0 done, 1 a judge was unavailable. Raises UserError."""
    # before any call is made
    check_writable(settings.fit, settings.accept, settings.json_file, settings.page)
    given = read_weights(settings.weights) if settings.weights else None
    other = read_other(settings.versus) if settings.versus else None
    evidence = read(settings, given)
    if evidence.lost:
        unfitted = f"; {settings.fit} is not written" if settings.fit else ""
        complain(
            f"incomplete: the judge was unavailable for {evidence.lost} pairs{unfitted}; run the same command again to resume"
        )
    if evidence.matrix.voters:
        _evaluate(evidence, given, other, settings, console)
    return 1 if evidence.lost else 0


def _evaluate(
    evidence: Evidence, given: Weights | None, other: Other | None, settings: JudgeSettings, console: Console
) -> None:
    found: Assessment | AgreementReport
    if evidence.labelled:
        panel = panel_of(evidence, given, settings)
        found = judged(evidence, panel, other, settings)
        if settings.max_error is not None:
            acceptance = acceptance_of(evidence.matrix, panel, evidence.plain, evidence.origin, settings)
            found = found.model_copy(update={"acceptance": acceptance})
            if settings.accept and not evidence.lost:
                write(settings.accept, acceptance.model_dump_json(indent=1) + "\n")
    elif settings.max_error is not None:
        fix = "add the column label, or leave --max-error out"
        raise UserError(
            Problem(str(settings.votes), "label", "is missing: without labels no error can be stated", fix=fix)
        )
    else:
        found = agreeing(evidence, settings)
    if settings.json_file:
        write(settings.json_file, found.model_dump_json(indent=1) + "\n")
    if isinstance(found, AgreementReport):
        unlabelled.show(found, console)
        return
    if settings.page:
        write(settings.page, page(found))
    show(found, console)


def read(settings: JudgeSettings, given: Weights | None = None) -> Evidence:
    """The votes, recorded or asked for now, without the voters that are left out. given: the weights to evaluate.

    Raises UserError.
    """
    parsing, failures, batch, doubtful = None, dict[str, int](), None, ""
    if settings.votes:
        labelled = read_labelled(settings.subsets)[0] if settings.subsets else []
        free = settings.method in UNLABELLED and not (settings.weights or settings.page or settings.versus)
        matrix, parsing = read_recorded(settings.votes, not free, settings.columns, complain, settings.winner)
        doubtful = parsing.winner_warning(matrix)
        matrix, others = two_orders(matrix, settings.votes)
        failures = {"voters asked in one order only": others} if others else {}
        matrix = described(matrix, labelled) if labelled else matrix
        data = source_digest(settings.votes)
        origin = Origin(constitution="", judges={}, templates="", data=data, pairs=len(matrix.pairs))
        known: dict[str, float] = dict.fromkeys(matrix.voters, 1 / len(matrix.voters))
    else:
        assert settings.data, "one of the two is given"
        matrix, origin, known, failures, _, batch = asking.ask(
            settings,
            settings.data,
            columns=settings.columns,
            fits=given is None,
            weights=asking.GivenWeights(given, settings.weights) if given and settings.weights else None,
        )
    kept = matrix.without(settings.without) if settings.without else matrix
    if matrix.voters and not kept.voters:
        raise UserError(
            Problem(
                f"--without {settings.without!r}",
                got="leaves no voter to evaluate",
                fix=f"voters: {', '.join(matrix.voters)}",
            )
        )
    plain = np.array([known.get(voter, 0.0) for voter in kept.voters])
    return Evidence(kept, origin, plain, parsing, failures, batch, (doubtful,) if doubtful else ())


def read_other(path: Path) -> Other:
    """Another evaluation. Raises UserError."""
    try:
        return Other.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            Problem(
                str(path),
                got=f"is not an evaluation ({reason})",
                fix=f"`python -m evaluation judge --json {path}` writes one",
            )
        ) from None


def panel_of(evidence: Evidence, given: Weights | None, settings: JudgeSettings) -> Panel:
    """The panel that is evaluated; --fit is written here. Raises UserError."""
    if given and settings.weights:
        origin = evidence.origin
        if not settings.votes:
            refuse_other(given, settings.weights, origin.constitution, origin.judges, origin.templates, origin.judging)
        return given_panel(
            evidence.matrix, given, settings.weights, origin.data, settings.early_stop_error, settings.min_log_odds
        )
    panel, fitted = fitted_panel(evidence.matrix, evidence.plain, settings)
    if settings.fit and not evidence.lost:
        _write_weights(
            weights_file(evidence.matrix, fitted, panel.logits, settings.method, evidence.origin), settings.fit
        )
    return panel


def agreeing(evidence: Evidence, settings: JudgeSettings) -> AgreementReport:
    """What voters without labels say of each other; --fit is written here. Raises UserError."""
    enough(evidence.matrix.groups)
    warnings = (*evidence.warnings, *doubtful(evidence.matrix, settings.method))
    fit = fitter(settings.method, evidence.plain, settings.seed, evidence.matrix.judges)
    whole = whole_fit(evidence.matrix, fit, settings.seed)
    if settings.fit:
        _write_weights(weights_file(evidence.matrix, whole, None, settings.method, evidence.origin), settings.fit)
    return weighed(evidence.matrix, whole.fit, str(settings.votes), evidence.failures, warnings, settings.method)


def _write_weights(weights: Weights, path: Path) -> None:
    """Without the figures that nobody could work out."""
    write(path, weights.model_dump_json(indent=1, exclude=None if weights.quality else {"quality"}) + "\n")


def judged(evidence: Evidence, panel: Panel, other: Other | None, settings: JudgeSettings) -> Assessment:
    """Every figure."""
    data = tuple(labelled_digest(spec) for spec in (settings.data, settings.votes, settings.subsets) if spec)
    figures = assess(evidence.matrix, panel, evidence.plain, settings.early_stop_error, settings.min_log_odds)
    found = Assessment.model_validate(
        figures
        | {
            "source": str(settings.votes or settings.data),
            "data": data,
            "parsing": evidence.parsing,
            "failures": evidence.failures,
            "batch": evidence.batch,
            "warnings": (*evidence.warnings, *panel.warnings),
        }
    )
    if other is None:
        return found
    if not set(data) & set(other.data):
        raise UserError(
            Problem(
                f"--versus {settings.versus}",
                "data",
                f"is of other files ({', '.join(d[:12] for d in other.data) or 'none'}) than this evaluation "
                f"({', '.join(d[:12] for d in data)})",
                "one of the same --data, --votes or --subsets",
                "evaluate one file twice",
            )
        )
    test = compared(found.pairs, other.pairs)
    if not test.pairs:
        raise UserError(
            Problem(
                f"--versus {settings.versus}",
                got=f"shares no decided pair with {found.source}",
                fix="name an evaluation of the same pairs",
            )
        )
    name = f"versus {settings.versus.name if settings.versus else 'another'}"
    return found.model_copy(update={"comparisons": found.comparisons | {name: test}})
