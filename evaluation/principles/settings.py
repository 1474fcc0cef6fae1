"""Settings of `constitution test` and `constitution learn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option
from evaluation.judge.settings import PanelSettings


class TestSettings(PanelSettings):
    """Principles under test."""

    __test__ = False
    constitution: Annotated[Path, Option("PATH", positional=True)]
    """Principles, as YAML, or the name of a shipped constitution."""
    data: Annotated[str, Option("PAIRS|RUN")]
    """Rows with two responses each (prompt, chosen and rejected, or responses), or a finished run."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """Column that holds a field where it has another name; repeatable."""
    out: Annotated[Path, Option("FOLDER")] = Path("runs/principles")
    """Folder that keeps every model call."""
    paraphrases: Annotated[int, Option("N")] = Field(default=2, ge=0, le=8)
    """Wordings of each principle that the judge writes, beside the fixed ones."""
    sharpen: bool = False
    """Have the judge propose a sharper wording for each principle in doubt, and measure it."""
    votes_only: bool = False
    """Of a run: take its votes alone, and ask nobody."""
    plan: bool = False
    """Print how many calls it takes, and stop; no model is loaded."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Write every figure, as JSON."""
