"""Settings of `evaluation episodes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option, Options


class EpisodesSettings(Options):
    """Tool use of one policy, or of two, over several steps."""

    a: Annotated[str, Option("MODEL")]
    """Policy A: `embedded`, a local folder, a hub id, or what servers serve."""
    b: Annotated[str, Option("MODEL")] = ""
    """Policy B, such as the one before training (default: A alone)."""
    episodes: Annotated[Path | None, Option("FILE")] = None
    """Episodes of your own, in the form of the built-in ones (default: those)."""
    engine: Annotated[str | None, Option("NAME")] = None
    """What runs the models: vllm, transformers, endpoint or replay (default: vllm where it is installed, else transformers)."""
    config: Annotated[Path | None, Option("FILE")] = None
    """Settings of a run, as YAML."""
    overrides: Annotated[tuple[str, ...], Option("KEY=VALUE", "--set")] = ()
    """One setting of a run, as in plan.sample.temperature=0; repeatable."""
    out: Annotated[Path, Option("FOLDER")] = Path("runs/episodes")
    """Folder that keeps every model call."""
    limit: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Play only the first N episodes."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Write every figure, and what was said in every episode, as JSON."""
    page: Annotated[Path | None, Option("FILE")] = None
    """Write a page with plots."""
