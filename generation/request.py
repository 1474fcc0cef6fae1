"""What `solon feedback` is asked for. It stands alone, so that the command's help does not wait for what makes a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from constitution.checks.own import RulesFiles
from constitution.digest import digest
from constitution.errors import invalid
from constitution.options import Option, Options
from generation.shard import ShardOption
from generation.temporary import cluster_folder

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::|://)")
Forget = Literal["failed", "damaged"]
"""Which stored calls are made again."""


def is_address(out: str) -> bool:
    """Whether it names a file system, as s3:// does, and no folder of this machine."""
    return bool(_ADDRESS.match(out))


class FeedbackSettings(Options):
    """Principles and prompts in, a preference dataset out."""

    constitution: Annotated[Path, Option("FILE")]
    """Principles: a YAML file, or the name of a shipped constitution, as hhh."""
    prompts: Annotated[str, Option("FILE")]
    """JSONL, JSON, CSV, TSV, parquet, Arrow, a datasets folder, an address as s3://, or a hub id as owner/name:config@split."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """The column that holds a field, as in prompt=question; several divided by commas, or repeated."""
    out: Annotated[str, BeforeValidator(str), Option("FOLDER")]
    """The run folder, as in runs/NAME; with --ray also an address, as s3://BUCKET/NAME."""
    policy: Annotated[str | None, Option("MODEL")] = None
    """The model that is sampled: `embedded`, a local folder or a hub id (settings' default: embedded)."""
    judge: Annotated[str | None, Option("MODEL")] = None
    """The model that critiques, revises and compares, likewise (settings' default: the policy itself)."""
    engine: Annotated[str | None, Option("NAME")] = None
    """What runs the models: vllm, transformers, endpoint or replay (settings' default: vllm where installed, else transformers)."""
    config: Annotated[Path | None, Option("FILE")] = None
    """Settings, as YAML."""
    overrides: Annotated[tuple[str, ...], Option("KEY=VALUE", "--set")] = ()
    """One setting, as in plan.samples=4; repeatable."""
    weights: Annotated[Path | None, Option("FILE")] = None
    """Fitted weights of votes, from `solon evaluate judge --fit FILE`."""
    calibration: Annotated[str | None, Option("FILE")] = None
    """Labelled pairs, with `prompt`, `chosen` and `rejected`, that the same judges are asked about first: they say from which
    certainty on labels keep plan.max_error."""
    acceptance: Annotated[Path | None, Option("FILE")] = None
    """What is accepted under plan.max_error, from `solon evaluate judge --max-error P --accept FILE`, or an earlier calibration."""
    rules: RulesFiles = ()
    """Python file or module with rules of your own, which the constitution's checks name by `own`; repeatable."""
    limit: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Read only the first N rows of the prompts."""
    reuse: Annotated[tuple[Path, ...], Option("RUN")] = ()
    """Take calls that this run made; repeatable."""
    shard: Annotated[ShardOption | None, Option("I/N")] = None
    """Take only the prompts of part I of N, from 0/N to N-1/N: the same command on N machines, each with its own --out."""
    merge: Annotated[tuple[Path, ...], Option("RUN")] = ()
    """Make the run of all prompts from the finished runs of all N shards, or a folder that has them, without a call; repeatable."""
    ray: Annotated[str | None, Option("ADDRESS")] = None
    """Make the shards on a Ray cluster, as `local`, `auto` or HOST:PORT, and merge them; they lie in OUT.shards. Needs --shards."""
    shards: Annotated[int | None, Option("N")] = Field(default=None, ge=1, le=100_000)
    """With --ray: how many parts the prompts are divided into, some for each GPU. The result does not depend on it."""
    forget: Forget | None = None
    """Make calls again: `failed`, those that came to an error or to nothing, such as refusals and answers without
    log-probabilities; `damaged`, those that are no longer as they were stored."""
    max_cost: Annotated[float | None, Option("AMOUNT")] = None
    """Stop before all starts of the run have cost more than this, by the prices in the settings."""
    max_calls: Annotated[int | None, Option("N")] = None
    """Stop before it has made more calls than this."""
    max_tokens: Annotated[int | None, Option("N")] = None
    """Stop before it has read and written more tokens than this."""
    plan: bool = False
    """Count the calls that would be made, and stop."""
    probe: bool = False
    """With --plan: ask the servers first what they take and give, a few calls a model, since that decides how judges are asked."""
    push: Annotated[str | None, Option("REPO_ID")] = None
    """Upload the finished dataset to this dataset repository of the hub, private, without calls and details of failures."""
    public: bool = False
    """With --push: the repository is public."""

    @model_validator(mode="after")
    def _part_or_whole(self) -> FeedbackSettings:
        if self.shard and self.merge:
            raise invalid(
                "got both --shard and --merge", "one of the two", "merge makes the run of all shards", key="merge"
            )
        return self

    @model_validator(mode="after")
    def _on_a_cluster(self) -> FeedbackSettings:
        if (self.ray is None) != (self.shards is None):
            key, other = ("shards", "ray") if self.ray is None else ("ray", "shards")
            raise invalid(f"is for --{other}, which is not given", fix="give both, or leave both out", key=key)
        if self.ray is None:
            if is_address(self.out):
                raise invalid("got an address, which is for --ray alone", "a folder of this machine", key="out")
            return self
        for name in ("shard", "merge", "reuse"):
            if getattr(self, name):
                raise invalid("is not for --ray", fix="leave one of the two out", key=name)
        if self.forget == "damaged":
            fix = "leave it out: the same command makes damaged shards again"
            raise invalid("got damaged, which is not for --ray", fix=fix, key="forget")
        if is_address(self.out) and self.calibration:
            fix = "make the acceptance file first: solon evaluate judge --max-error P --accept FILE"
            raise invalid("is not for an address as --out", fix=fix, key="calibration")
        return self

    @property
    def folder(self) -> Path:
        """Where the run is made: `out`, or where that is an address, a folder of this machine that is copied there at the end.

        Raises OSError where its place is another user's.
        """
        if not is_address(self.out):
            return Path(self.out)
        return cluster_folder() / digest(self.out) / "run"

    @property
    def flags(self) -> dict[str, object]:
        """Settings of the run that have an option of their own."""
        limits = {"max_cost": self.max_cost, "max_calls": self.max_calls, "max_tokens": self.max_tokens}
        return {"policy": self.policy, "judge": self.judge, "engine": self.engine, **limits}
