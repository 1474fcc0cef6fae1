"""What a run is given that was learnt from labelled pairs: weights of votes, and when a label is accepted; checked against it."""

from __future__ import annotations

from pathlib import Path

from constitution.digest import digest
from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from critics import templating
from critics.ranking.accept import Acceptance, read_acceptance, refuse_other_acceptance
from critics.ranking.weights import Origin, Weights, read_weights, refuse_other
from generation.config import RunConfig
from generation.models.factory import ModelRegistry
from generation.request import FeedbackSettings


def given_weights(
    path: Path | None, constitution: Constitution | None, settings: RunConfig | None, registry: ModelRegistry | None
) -> Weights | None:
    """The fitted weights, checked against whatever else could be read. Raises UserError."""
    error = settings.plan.early_stop_error if settings else 0
    if path is None:
        if error:
            fix = "give fitted weights, or leave it 0"
            raise UserError(Problem("", "plan.early_stop_error", f"got {error} without fitted weights", fix=fix))
        return None
    weights = read_weights(path)
    if error and weights.stopping is None:
        got, fix = f"got {error}, but {path} has no order of voters for early stopping", "fit again, or leave it 0"
        raise UserError(Problem("", "plan.early_stop_error", got, fix=fix))
    if constitution and registry:
        judging = settings.plan.judging() if settings else weights.fitted_on.judging
        words = templating.digest(settings.plan.templates if settings else None)
        refuse_other(weights, path, constitution.digest, registry.digests(), words, judging)
    return weights


def given_acceptance(
    settings: FeedbackSettings,
    constitution: Constitution | None,
    run: RunConfig | None,
    registry: ModelRegistry | None,
    weights: Weights | None,
) -> Acceptance | None:
    """What is accepted, checked against whatever else could be read; None where no error is stated, or it is yet to be found."""
    if run is None:
        return None
    given = [f"--{name}" for name in ("acceptance", "calibration") if getattr(settings, name)]
    if run.plan.max_error is None:
        if given:
            got = "is read only where plan.max_error is given"
            raise UserError(Problem(given[0], got=got, fix="set plan.max_error, or leave it out"))
        return None
    if len(given) != 1:
        both = "both --calibration and" if given else "neither --calibration nor"
        got = f"got {run.plan.max_error:g}, and {both} --acceptance"
        fix = "give labelled pairs as --calibration, or the file of `solon evaluate judge --max-error` as --acceptance"
        raise UserError(Problem("", "plan.max_error", got, "one of the two", fix))
    if settings.acceptance is None:
        return None
    found = read_acceptance(settings.acceptance)
    if constitution and registry:
        here = origin(constitution, run, registry)
        promised = run.plan.max_error, run.plan.error_confidence, run.plan.error_test
        known = digest_of(weights)
        refuse_other_acceptance(found, settings.acceptance, here, known, run.voting(), promised, run.cascade)
    return found


def origin(
    constitution: Constitution, run: RunConfig, registry: ModelRegistry, data: str = "", pairs: int = 1
) -> Origin:
    """What this run judges by. data, pairs: digest and number of the labelled pairs that it judges."""
    return Origin(
        constitution=constitution.digest,
        judges=registry.digests(),
        templates=templating.digest(run.plan.templates),
        judging=run.plan.judging(),
        data=data,
        pairs=pairs,
    )


def digest_of(weights: Weights | None) -> str:
    """The weights' digest; empty for none."""
    return digest(weights.model_dump_json()) if weights else ""
