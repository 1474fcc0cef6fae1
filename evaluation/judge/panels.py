"""The panels that are evaluated: given weights, or weights fitted here and cross-validated; and the file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from constitution.errors import Problem, UserError
from critics.ranking.weights import Method, Origin, Weights
from evaluation.judge.ballots import Ballots
from evaluation.judge.crossval import Turns, cross_validated, in_turn
from evaluation.judge.fitting import LEAST_GROUPS, Fit, fitter, stopping
from evaluation.judge.settings import JudgeSettings
from evaluation.statistics import Floats, quality


class Panel(NamedTuple):
    """What a panel says of pairs."""

    title: str
    logits: Floats
    """[pairs] for the better reply."""
    weights: Floats
    """[voters] behind them, with the temperature in."""
    turns: Turns | None
    """The same pairs with the voters asked in turn; None where the weights have no order."""


def given_panel(ballots: Ballots, weights: Weights, path: Path, data: str, error: float, margin: float) -> Panel:
    """By a file of weights. data: digest of what is judged. Raises UserError when none of its voters is there."""
    known = [voter for voter in ballots.voters if voter in weights.voters]
    if not known:
        raise UserError(
            Problem(
                str(path),
                got=f"weighs none of the voters that voted; it weighs {', '.join([*weights.voters][:3])}, ..., and there are "
                f"{', '.join(ballots.voters[:3])}, ...",
                fix=f"fit weights for these with `python -m evaluation judge --fit {path}`",
            )
        )
    factors = np.array([weights.share(voter, 1.0) for voter in ballots.voters])
    logits = Fit(factors).logits(ballots.votes)
    rule = weights.stopping
    turns = in_turn(ballots.votes, ballots.voters, rule, error, margin) if rule else None
    title = f"weights of {path.name} ({weights.method})"
    if weights.fitted_on.data == data:
        title += ", fitted on these very pairs: the figures flatter it"
    return Panel(title, logits, factors, turns)


def fitted_panel(ballots: Ballots, plain: Floats, settings: JudgeSettings) -> tuple[Panel, Fit]:
    """Every pair as weights say that were fitted without its prompt; and weights fitted on all. Raises UserError."""
    groups = enough(ballots)
    fit = fitter(settings.method, plain, settings.seed)
    crossed = cross_validated(ballots, fit, settings.folds, settings.seed)
    whole = fit(ballots.votes, ballots.groups)
    title = f"fitted ({settings.method}), {min(settings.folds, groups)}-fold cross-validated"
    turns = crossed.turns(ballots, settings.early_stop_error, settings.margin)
    return Panel(title, crossed.logits, whole.weights / whole.temperature, turns), whole


def enough(ballots: Ballots) -> int:
    """How many prompts there are. Raises UserError when they are too few to fit weights on."""
    groups = len(set(ballots.groups))
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


def weights_file(ballots: Ballots, fitted: Fit, held_out: Floats | None, method: Method, origin: Origin) -> Weights:
    """Weights fitted on all pairs. held_out: [pairs] what cross-validation says of them; None without labels."""
    return Weights(
        method=method,
        fitted_on=origin,
        voters=dict(zip(ballots.voters, fitted.weights.tolist(), strict=True)),
        temperature=fitted.temperature,
        penalty=fitted.penalty,
        quality=None if held_out is None else quality(held_out),
        stopping=stopping(ballots.votes, fitted, ballots.voters),
    )
