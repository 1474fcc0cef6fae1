"""Settings of `evaluation policy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from constitution.errors import invalid
from constitution.options import Option
from evaluation.judge.settings import PanelSettings


class PolicySettings(PanelSettings):
    """One policy against another on the same prompts."""

    out: Annotated[Path, Option("FOLDER")] = Path("runs/policy")
    """Folder that keeps every model call."""
    limit: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Read only the first N prompts."""
    a: Annotated[str, Option("MODEL")]
    """Policy A, which is evaluated: `embedded`, a local folder or a hub id."""
    b: Annotated[str, Option("MODEL")] = "embedded"
    """Policy B, the baseline that A is compared with."""
    base: Annotated[str, Option("MODEL")] = ""
    """Reference model from which A's KL divergence is measured (default: policy B)."""
    prompts: Annotated[str, Option("FILE")]
    """Prompts: JSONL, JSON, CSV, TSV, parquet, Arrow, a datasets folder, an address such as s3://, or a hub id."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """The column that holds a field, as in prompt=question; several divided by commas, or repeated."""
    weights: Annotated[Path | None, Option("FILE")] = None
    """Fitted weights of the votes (default: the constitution's)."""
    gold: Annotated[Path | None, Option("FILE")] = None
    """Held-out constitution; its win rate is reported next to the proxy's."""
    held_out: Annotated[tuple[str, ...], Option("NAMES")] = ()
    """Principles and judges that do not vote, separated by commas; `trained` stands for all that a policy was trained against."""
    trained: Annotated[tuple[Path, ...], Option("FOLDER")] = ()
    """Run or checkpoint that A or B was trained on, besides those that their own folders name; repeatable."""
    probes: Annotated[Literal["none", "small", "all"], Option("SIZE")] = "small"
    """Probes to ask: `small` for 24 items each of truth, sycophancy, overconfidence and refusals; `all` for hundreds, with mimicry,
    feedback, jailbreaks and conversations; or `none`."""
    probe_items: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Ask at most N items of each kind of probe."""
    refusals: Annotated[Path | None, Option("FILE")] = None
    """Prompts for refusal rates, in place of the built-in ones: rows with `prompt` and `label` (safe or unsafe)."""
    refusal_columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map-refusals")] = ()
    """The column of the prompts for refusal rates that holds a field, as in label=kind; as --map."""
    labels: Annotated[Path | None, Option("FILE")] = None
    """What people say of some of the compared pairs: rows of `prompt_id` and `label` (a, b or tie), which correct win rates."""
    to_label: Annotated[Path | None, Option("FILE")] = None
    """Write the compared pairs in a random order, for people to fill in `label` from the first on; then give them as --labels."""
    seed: Annotated[int | None, Option("N")] = None
    """Seed for sampled responses and bootstrap intervals (default: plan.seed of the settings)."""
    seeds: Annotated[int, Option("N")] = Field(default=1, ge=1)
    """Sample N responses to each prompt, a seed each; intervals are then over prompts and seeds."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Write every figure, as JSON."""
    page: Annotated[Path | None, Option("FILE")] = None
    """Write a page with plots, and examples side by side."""

    @field_validator("refusal_columns")
    @classmethod
    def _of_a_file(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and not info.data.get("refusals"):
            raise invalid("names columns of --refusals, which is not given", fix="give it, or leave this out")
        return value

    @field_validator("refusals")
    @classmethod
    def _asked(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and info.data.get("probes") == "none":
            raise invalid("no prompt for refusal rates is asked with --probes none", fix="leave one of them out")
        return value
