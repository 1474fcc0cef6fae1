"""The panels that are evaluated: given weights, or weights fitted here and cross-validated; and the file of weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from constitution.errors import Problem, UserError
from critics.ranking.accept import Acceptance, optimistic
from critics.ranking.kinds import Method
from critics.ranking.weights import Origin, Stopping, Weights, read_weights
from evaluation.judge.agreement import doubts
from evaluation.judge.crossval import EarlyStopping, calibrated_stopping, cross_validated, out_of_fold, stop_early
from evaluation.judge.fitting import LEAST_GROUPS, Fit, Fitter, fitter, scale_of
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.settings import JudgeSettings
from evaluation.risk.accepting import Flags, accepting
from evaluation.statistics import Floats, quality
from generation.fitted import digest_of

UNLABELLED: tuple[Method, ...] = ("agreement", "agreement_by_judge")
"""Methods that need no label."""


CUTS = 5
"""Cuts into folds whose mean log-odds a threshold is found on."""


class Panel(NamedTuple):
    """What a panel says of pairs."""

    title: str
    logits: Floats
    """[pairs] for the better response."""
    weights: Floats
    """[voters] behind them, with the temperature in."""
    turns: EarlyStopping | None
    """The same pairs with early stopping; None where the weights have no order."""
    warnings: tuple[str, ...] = ()
    """What makes its weights doubtful."""


def given_panel(
    matrix: VoteMatrix, weights: Weights, path: Path, data: str, error: float, min_log_odds: float
) -> Panel:
    """By a file of weights. data: digest of what is judged. Raises UserError when none of its voters is there."""
    known = [voter for voter in matrix.voters if voter in weights.voters]
    if not known:
        raise UserError(
            Problem(
                str(path),
                got=f"has weights for {', '.join([*weights.voters][:3])}, ..., and for none of the voters here: "
                f"{', '.join(matrix.voters[:3])}, ...",
                fix=f"fit weights for these with `python -m evaluation judge --fit {path}`",
            )
        )
    factors = np.array([weights.share(voter, 1.0) for voter in matrix.voters])
    logits = Fit(factors).logits(matrix.votes)
    rule = weights.stopping
    turns = stop_early(matrix.votes, matrix.voters, rule, error, min_log_odds) if rule else None
    title = f"weights of {path.name} ({weights.method})"
    if weights.fitted_on.data == data:
        title += ", fitted on these same pairs: the figures are optimistic"
    return Panel(title, logits, factors, turns)


class WholeFit(NamedTuple):
    """What is learnt from all pairs."""

    fit: Fit
    stopping: Stopping


def whole_fit(matrix: VoteMatrix, fit: Fitter, seed: int) -> WholeFit:
    """Weights fitted on all pairs, and their rule for early stopping."""
    found = fit(matrix.votes, matrix.groups)
    rule = calibrated_stopping(matrix.votes, matrix.groups, matrix.voters, fit, found, seed)
    return WholeFit(found, rule)


def fitted_panel(matrix: VoteMatrix, plain: Floats, settings: JudgeSettings) -> tuple[Panel, WholeFit]:
    """Every pair as weights say that were fitted without its prompt; and what is learnt from all. Raises UserError."""
    groups, warnings = enough(matrix.groups), doubtful(matrix, settings.method)
    fit = fitter(settings.method, plain, settings.seed, matrix.judges)
    crossed = cross_validated(matrix, fit, settings.folds, settings.seed)
    whole = whole_fit(matrix, fit, settings.seed)
    title = f"fitted ({settings.method}), {min(settings.folds, groups)}-fold cross-validated"
    turns = crossed.early_stopping(matrix, settings.early_stop_error, settings.min_log_odds)
    return Panel(title, crossed.logits, whole.fit.weights / whole.fit.temperature, turns, warnings), whole


def doubtful(matrix: VoteMatrix, method: Method) -> tuple[str, ...]:
    """What makes weights by agreement doubtful; nothing for methods that use labels.

    Raises UserError for `agreement_by_judge` where judges share more than one thing, or are too few.
    """
    if method not in UNLABELLED:
        return ()
    votes = matrix.votes
    found = doubts(votes / scale_of(votes), matrix.judges or matrix.voters)
    if method == "agreement":
        return tuple(f"weights by agreement may be wrong: {doubt}" for doubt in found if doubt)
    if found.of_judges:
        fix = "label some pairs and fit with --method logistic, or leave judges out with --without"
        raise UserError(Problem("--method agreement_by_judge", got=found.of_judges, fix=fix))
    return ()


def enough(of_pairs: Iterable[str]) -> int:
    """How many prompts there are, from the group of each pair. Raises UserError when they are too few to fit weights on."""
    groups = len(set(of_pairs))
    if groups < LEAST_GROUPS:
        raise UserError(
            Problem(
                "",
                got=f"{groups} different prompts are too few to fit weights on",
                allowed=f"{LEAST_GROUPS} or more",
                fix="add labelled pairs, or give weights with --weights",
            )
        )
    return groups


def weights_file(
    matrix: VoteMatrix, whole: WholeFit, held_out: Floats | None, method: Method, origin: Origin
) -> Weights:
    """Weights fitted on all pairs. held_out: [pairs] what cross-validation says of them; None without labels."""
    return Weights(
        method=method,
        fitted_on=origin,
        voters=dict(zip(matrix.voters, whole.fit.weights.tolist(), strict=True)),
        temperature=whole.fit.temperature,
        quality=None if held_out is None else quality(held_out),
        stopping=whole.stopping,
    )


def acceptance_of(
    matrix: VoteMatrix, panel: Panel, plain: Floats, origin: Origin, settings: JudgeSettings
) -> Acceptance:
    """What can be promised of labels by this panel. origin: of the pairs. Raises UserError for weights fitted on these pairs."""
    assert settings.max_error is not None
    path = settings.fit or settings.weights
    weights = read_weights(path) if path and path.is_file() else None
    if settings.weights and optimistic(weights, origin.data):
        fix = "leave --weights out, which cross-validates, or take other labelled pairs"
        raise UserError(Problem("--max-error", got=f"{path} was fitted on these same pairs", fix=fix))
    logits = (
        panel.logits if settings.weights else steady(matrix, fitter(settings.method, plain, settings.seed), settings)
    )
    return accepting(
        logits[:, None],
        (),
        matrix.groups,
        origin,
        (settings.max_error, settings.confidence, settings.test),
        (digest_of(weights), ""),
        _kinds(matrix, logits),
    )


def steady(matrix: VoteMatrix, fit: Fitter, settings: JudgeSettings) -> Floats:
    """[pairs] cross-validated log-odds, their mean over CUTS cuts into folds: one cut ranks pairs of different folds by chance."""
    cuts = [out_of_fold(matrix, fit, settings.folds, settings.seed + cut) for cut in range(CUTS)]
    mean: Floats = np.mean(cuts, axis=0)
    return mean


def _kinds(matrix: VoteMatrix, logits: Floats) -> dict[str, Flags]:
    """Kind of pair -> [pairs] whether each is one. Of lengths it is the preferred response's that counts, as in a run."""
    subsets = sorted(set(matrix.subsets))
    found = {f"subset {name or '(none)'}": np.array([one == name for one in matrix.subsets]) for name in subsets}
    longer = np.sign(np.nan_to_num(logits)) * matrix.longer
    return {
        **(found if len(subsets) > 1 else {}),
        "the longer response is preferred": longer > 0,
        "the shorter response is preferred": longer < 0,
        "most voters chose the same position twice": 2 * np.nansum(matrix.inconsistent, axis=1)
        > (~np.isnan(matrix.inconsistent)).sum(1),
    }
