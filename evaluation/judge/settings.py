"""Settings of `evaluation judge`, and those of every command that asks a panel of judges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from constitution.checks.own import RulesFiles
from constitution.errors import invalid
from constitution.options import Option, Options, flag
from critics.ranking.kinds import Method, Test
from generation.reads import ReadIf, check_read

WinnerOrder = Literal["pair", "listed"]
"""What `winner` of a recorded vote counts by: the response's place in the pair, or that at which it was listed to the judge."""


class PanelSettings(Options):
    """What a command needs in order to ask a panel of judges."""

    constitution: Annotated[Path | None, Option("FILE")] = None
    """Principles, as YAML."""
    rules: RulesFiles = ()
    """Python file or module with rules of your own, which the constitution's checks name by `own`; repeatable."""
    judge: Annotated[str | None, Option("MODEL")] = None
    """The judge: `embedded`, a local folder or a hub id (default: the one that the settings name)."""
    engine: Annotated[str | None, Option("NAME")] = None
    """What runs the models: vllm, transformers, endpoint or replay (default: vllm where it is installed, else transformers)."""
    config: Annotated[Path | None, Option("FILE")] = None
    """Settings of a run, as YAML."""
    overrides: Annotated[tuple[str, ...], Option("KEY=VALUE", "--set")] = ()
    """One setting of a run, as in plan.methods=[compare,contrast]; repeatable."""
    out: Annotated[Path, Option("FOLDER")] = Path("runs/judge")
    """Folder that keeps every model call."""
    reuse: Annotated[tuple[Path, ...], Option("RUN")] = ()
    """Take calls that this run already made; repeatable."""
    limit: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Read only the first N rows of the data."""


LIVE = ("constitution", "judge", "engine", "config", "overrides", "reuse", "limit")
"""Settings that only matter where a panel is asked."""


_FITTED = ReadIf("weights are fitted, without --weights", lambda settings, _: settings.weights is None)

_STATED = ReadIf("--max-error is given", lambda settings, _: settings.max_error is not None)
_CONFIDENT = ReadIf("--confidence is given", lambda settings, _: settings.confidence is not None)


_RECORDED = ReadIf("--votes is given", lambda settings, _: settings.votes is not None)


class JudgeSettings(PanelSettings):
    """How right and how calibrated a panel is, on recorded votes or on labelled pairs that it is asked about."""

    weights: Annotated[Path | None, Option("FILE")] = None
    """Fitted weights to evaluate (default: weights fitted here and cross-validated)."""
    fit: Annotated[Path | None, Option("FILE")] = None
    """Fit weights on all pairs and write them to this file."""
    method: Annotated[Method, _FITTED] = "logistic"
    """How weights are fitted."""
    folds: Annotated[int, Option("N"), _FITTED] = Field(default=10, ge=2)
    """Folds of the cross-validation."""
    seed: Annotated[int, Option("N"), _FITTED] = 0
    """Seed for the cross-validation folds."""
    without: Annotated[str, Option("REGEX")] = ""
    """Leave out voters whose name this regular expression finds."""
    early_stop_error: Annotated[float, Option("P")] = Field(default=0.005, gt=0, lt=0.5)
    """Sequential testing: stop querying voters once the label would change with probability at most P."""
    min_log_odds: Annotated[float, Option("LOG-ODDS")] = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Pairs whose log-odds are closer to 0 than this get no label."""
    max_error: Annotated[float | None, Option("P")] = Field(default=None, gt=0, lt=0.5)
    """State an error: from which certainty on labels are accepted, so that at most a share P of the accepted ones is wrong."""
    confidence: Annotated[float | None, Option("P"), _STATED] = Field(default=None, gt=0.5, lt=1)
    """State it with this probability, as in 0.9 (default: on average)."""
    exact: Annotated[bool, _CONFIDENT] = False
    """Show it by the exact binomial test, which accepts less than mid-p and never states too much confidence."""
    accept: Annotated[Path | None, Option("FILE"), _STATED] = None
    """Write what is accepted, and what is promised of it, to this file, for `solon feedback --acceptance`."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Write every figure, as JSON."""
    page: Annotated[Path | None, Option("FILE")] = None
    """Write a page with plots."""
    versus: Annotated[Path | None, Option("FILE")] = None
    """Compare with another evaluation's --json, on the pairs that both have (McNemar's test)."""
    data: Annotated[str | None, Option("FILE")] = None
    """Labelled pairs to ask a panel about, with `prompt`, `chosen` and `rejected`; whatever `--prompts` takes."""
    votes: Annotated[str | None, Option("FILE")] = Field(default=None, validate_default=True)
    """Recorded votes, in place of --data; whatever `--prompts` takes."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """The column of --data or --votes that holds a field, as in chosen=better; several divided by commas, or repeated."""
    winner: Annotated[WinnerOrder, _RECORDED] = "pair"
    """What the `winner` of --votes counts by: the response's place in the pair, or as it was listed to the judge."""
    subsets: Annotated[str | None, Option("FILE")] = None
    """Labelled pairs that --votes are about: their subsets, and which response is longer."""

    @model_validator(mode="after")
    def _all_read(self) -> JudgeSettings:
        check_read(self)
        return self

    @model_validator(mode="after")
    def _usable(self) -> JudgeSettings:
        if self.accept and self.data and not (self.fit or self.weights):
            got = "is for a run by the weights of this evaluation, which no file has"
            raise invalid(got, fix="add --fit FILE, or --weights FILE", key="accept")
        return self

    @field_validator("fit")
    @classmethod
    def _fitted_or_given(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and info.data.get("weights"):
            raise invalid("writes new weights, --weights evaluates given ones", fix="give one of the two")
        return value

    @field_validator("without")
    @classmethod
    def _expression(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise invalid(f"got {value!r}, which is not a regular expression ({error})") from None
        return value

    @property
    def test(self) -> Test:
        """How an error is shown with confidence."""
        return "exact" if self.exact else "mid-p"

    @field_validator("votes")
    @classmethod
    def _recorded_or_asked(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and not info.data.get("data"):
            raise invalid(
                "is missing", fix="give --data, labelled pairs to ask a panel about, or --votes, recorded ones"
            )
        if value and info.data.get("data"):
            raise invalid("recorded votes leave nothing to ask about --data", fix="give one of the two")
        live = [flag(cls, name) for name in LIVE if value and info.data.get(name)]
        if live:
            raise invalid(
                f"recorded votes are read as they are; only a panel that is asked about --data takes {', '.join(live)}"
            )
        return value

    @field_validator("subsets")
    @classmethod
    def _of_votes(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("votes") is None:
            raise invalid("describes the pairs of --votes; --data has its own subsets")
        return value
