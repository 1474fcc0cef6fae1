"""Fitted weights: what each voter's vote is worth, learnt from a few labelled pairs, and when no more votes are needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from constitution.errors import Problem, UserError, invalid, problems_of
from constitution.records import Strict
from critics.methods import METHODS
from critics.ranking.kinds import Method

JudgingForm = Literal["exact", "listed", "text"]
"""How a judge's log-odds were come by: from the log-probability of each label, or of a response's tokens; from a server's list of
the likeliest tokens, which bounds them; or from the share of several answers in words or JSON. Each has a scale of its own."""


class Origin(Strict):
    """What weights were fitted on. They are refused for another judge or constitution."""

    constitution: str
    """Digest of the constitution; empty for votes that were recorded elsewhere."""
    judges: dict[str, str]
    """Judge's name -> digest of its weights, tokenizer and chat template."""
    templates: str
    """Digest of the prompts the judges were asked with."""
    judging: str = ""
    """Digest of the settings that change votes: position_inconsistent, clamp, reasoning, nonce."""
    forms: dict[str, JudgingForm] = Field(default_factory=dict)
    """Judge and method, as in judge/compare -> how its log-odds were come by; none for votes that were recorded elsewhere."""
    data: str
    """Digest of the labelled file."""
    pairs: int = Field(ge=1)
    """Number of pairs, with or without labels."""


class Estimate(Strict):
    """A share with its 95% interval."""

    value: float
    """The estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


class Quality(Strict):
    """How the weights did on pairs they were not fitted on (cross-validation)."""

    accuracy: Estimate
    """Share of pairs whose label has the right sign."""
    ece: float
    """Expected calibration error."""
    nll: float
    """Mean negative log-likelihood of the label, in nats."""


class Stopping(Strict):
    """When the votes still to come can be left out.

    Votes are modelled as jointly Gaussian with mean 0 (a pair can be read either way round), so the full logit given the first
    t votes is normal: its mean is linear in them and its spread is known beforehand.
    """

    order: tuple[str, ...]
    """Voters in the order they are asked: each time the one that leaves the least doubt about the full logit."""
    coefficients: tuple[tuple[FiniteFloat, ...], ...]
    """Row t: weights of the first t + 1 votes in the expected full logit."""
    spread: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    """Standard deviation of the full logit after t + 1 votes, times what makes held-out pairs keep the stated error."""

    @model_validator(mode="after")
    def _shape(self) -> Stopping:
        rows = [len(row) for row in self.coefficients]
        if rows != list(range(1, len(self.order) + 1)) or len(self.spread) != len(self.order):
            allowed = "one row of coefficients and one spread for each voter, row t with t + 1 numbers"
            raise invalid(f"got rows of {rows} and {len(self.spread)} spreads for {len(self.order)} voters", allowed)
        return self

    def expected(self, votes: Sequence[float]) -> tuple[float, float]:
        """Mean and standard deviation of the full logit after these first votes (a missing one is 0)."""
        row = self.coefficients[len(votes) - 1]
        return math.fsum(c * v for c, v in zip(row, votes, strict=True)), self.spread[len(votes) - 1]

    def settled(self, votes: Sequence[float], error: float, min_log_odds: float = 0.0) -> bool:
        """True when the rest would change the label with probability at most `error`.

        The label is the sign of the full logit or, where its absolute value is under `min_log_odds`, that there is none.
        """
        if len(votes) >= len(self.order):
            return True
        if not votes:
            return False
        mean, spread = self.expected(votes)
        wins, loses = _below((abs(mean) - min_log_odds) / spread), _below((-abs(mean) - min_log_odds) / spread)
        return max(wins, 1 - wins - loses) >= 1 - error


class Weights(Strict):
    """What each voter's vote is worth: the file that `solon evaluate judge --fit` writes and `solon feedback --weights` reads.

    >>> rows = [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": "No."} for n in range(12)]
    >>> weights = solon.run_sync(solon.fit_weights("concise", rows, engine="replay"))
    >>> judging = solon.judge("concise", "Say 13.", "13", "No.", weights=weights, engine="replay")
    >>> 0 < solon.run_sync(judging).p_a < 1
    True
    """

    version: Literal[1] = 1
    """Version of the file's form."""
    method: Method
    """How the weights were fitted."""
    fitted_on: Origin
    """The constitution, judges, templates and data they hold for."""
    voters: dict[str, FiniteFloat] = Field(min_length=1)
    """Voter -> weight of its vote in log-odds. A negative weight is a voter that is reliably wrong."""
    temperature: float = Field(gt=0)
    """Divides the weighted sum."""
    quality: Quality | None = None
    """None where nobody said which response is better: `agreement` needs no labels."""
    stopping: Stopping | None = None
    """Order of the voters for early stopping, and when to stop."""

    def logit(self, votes: Mapping[str, float]) -> float:
        """Log-odds that the first response is better. Voters that are missing, or unknown, say nothing."""
        return math.fsum(self.share(voter, value) for voter, value in votes.items())

    def sequential_logit(self, votes: Mapping[str, float], error: float, min_log_odds: float = 0.0) -> float:
        """Log-odds of a pair under early stopping (sequential testing): the full logit expected from the votes that were asked.

        The sum of the votes asked is not it. Weights are fitted for all voters together, and one that is subtracted from others
        may not have been asked. Votes cast after the label was settled, as those of a veto are, do not count.
        """
        if self.stopping is None:
            return self.logit(votes)
        values: list[float] = []
        for voter in self.stopping.order:
            values.append(votes.get(voter, 0.0))
            if self.stopping.settled(values, error, min_log_odds):
                break
        return self.stopping.expected(values)[0]

    def share(self, voter: str, value: float) -> float:
        """What one vote adds to the logit."""
        return self.voters.get(voter, 0.0) * value / self.temperature


def read_weights(path: Path) -> Weights:
    """Raises UserError where the file is missing or holds something else."""
    fix = f"`python -m evaluation judge --fit {path}` writes one"
    try:
        return Weights.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(Problem(str(path), got=f"cannot be read ({error.strerror})", fix=fix)) from None
    except ValidationError as error:
        found = problems_of(error, Weights, str(path))
        raise UserError([*found, Problem(str(path), got="is no file of weights", fix=fix)]) from None


def refuse_other(
    weights: Weights, path: Path, constitution: str, judges: Mapping[str, str], templates: str, judging: str
) -> None:
    """Raises UserError when the weights were fitted on something else than this run uses.

    Prompt templates count where a voter is asked by one: rules and likelihoods put no question.
    """
    asked = not all(map(_puts_no_question, weights.voters))
    here = Origin(
        constitution=constitution, judges=dict(judges), templates=templates, judging=judging, data="", pairs=1
    )
    if wrong := differences(weights.fitted_on, here, asked):
        fix = f"fit again for this run with `python -m evaluation judge --fit {path}`, or leave --weights out"
        raise UserError(Problem(str(path), got=f"fitted on another {', another '.join(wrong)}", fix=fix))


def differences(on: Origin, here: Origin, asked: bool = True) -> list[str]:
    """In what a run differs from that which something was fitted on, in words. asked: whether prompt templates count."""
    compared = {
        "constitution": (on.constitution, here.constitution),
        "prompt templates": (on.templates, here.templates) if asked else ("", ""),
        "counting of votes (plan.position_inconsistent, clamp, reason, defences.nonce)": (on.judging, here.judging),
    }
    for name in sorted({*on.judges, *here.judges}):
        compared[f"judge {name!r}"] = (on.judges.get(name, ""), here.judges.get(name, ""))
    return [
        f"{name} {had[:12] or 'none'} (this run has {has[:12] or 'none'})"
        for name, (had, has) in compared.items()
        if had != has
    ]


def _puts_no_question(voter: str) -> bool:
    _, _, way = voter.rpartition("/")[0].rpartition("/")
    return way == "rule" or (way in METHODS and not METHODS[way].template)


def refuse_other_form(weights: Weights, path: Path, forms: Mapping[str, JudgingForm]) -> None:
    """Raises UserError when votes that have a weight are come by in another form than those that the weights were fitted on.

    forms: as `Origin.forms`, of this run.
    """
    if wrong := other_forms(weights.fitted_on.forms, forms):
        fix = (
            f"fit again with the servers of this run by `solon evaluate judge --data LABELLED --fit {path}`, or leave the weights "
            "out"
        )
        raise UserError(Problem(str(path), got=f"fitted on another form of judging: {', '.join(wrong)}", fix=fix))


def other_forms(on: Mapping[str, JudgingForm], here: Mapping[str, JudgingForm]) -> list[str]:
    """Judges and methods whose votes are come by otherwise here, in words. Both as `Origin.forms`."""
    return [
        f"{name} by {_FORMS[on[name]] if name in on else 'no form that it names'} (here by {_FORMS[form]})"
        for name, form in sorted(here.items())
        if on.get(name) != form
    ]


_FORMS: Mapping[JudgingForm, str] = {
    "exact": "exact log-probabilities",
    "listed": "a server's list of log-probabilities",
    "text": "what it writes",
}


def _below(z: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
