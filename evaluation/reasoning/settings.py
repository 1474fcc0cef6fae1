"""Settings of `evaluation reasoning`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option
from evaluation.judge.settings import PanelSettings


class ReasoningSettings(PanelSettings):
    """Right against looks-right: a judge, and a policy, on sums with one false step."""

    a: Annotated[str, Option("MODEL")] = ""
    """Policy that is asked to go on from true and from false steps (default: the judge alone is measured)."""
    out: Annotated[Path, Option("FOLDER")] = Path("runs/reasoning")
    """Folder that keeps every model call."""
    limit: Annotated[int | None, Option("N", "--sums")] = Field(default=60, ge=1)
    """How many sums; each is a pair of five kinds."""
    seed: Annotated[int, Option("N")] = 0
    """Seed of the sums."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Write every figure, as JSON."""
    pairs: Annotated[Path | None, Option("FILE")] = None
    """Write the pairs too, for `evaluate judge --data`."""
    page: Annotated[Path | None, Option("FILE")] = None
    """Write a page with plots."""
