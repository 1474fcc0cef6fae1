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


class LearnSettings(PanelSettings):
    """Principles from labelled pairs."""

    data: Annotated[str, Option("LABELLED", positional=True)]
    """Labelled pairs: rows with prompt, chosen and rejected."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """Column that holds a field where it has another name; repeatable."""
    pool: Annotated[Path | None, Option("FILE")] = None
    """Candidates: the principles of this constitution, or of a shipped one by its name."""
    contrast: bool = False
    """Candidates: the judge writes what the chosen response of a pair does better."""
    contrast_pairs: Annotated[int, Option("N")] = Field(default=60, ge=1)
    """Pairs by which the judge writes principles."""
    candidates: Annotated[int, Option("N")] = Field(default=24, ge=1)
    """Different principles of those it wrote that are asked about, at most."""
    most: Annotated[int, Option("N")] = Field(default=10, ge=1)
    """Principles of the list, at most."""
    write: Annotated[Path | None, Option("FILE")] = None
    """Write the list to this file, as a constitution."""
    name: Annotated[str, Option("NAME")] = "learnt"
    """The constitution's name."""
    objective: Annotated[str, Option("NAME")] = "preference"
    """Objective of the principles that the judge writes."""
    seed: Annotated[int, Option("N")] = 0
    """Seed of the pairs that are drawn and of the folds."""
    out: Annotated[Path, Option("FOLDER")] = Path("runs/principles")
    """Folder that keeps every model call."""
    plan: bool = False
    """Print how many calls it takes, and stop; no model is loaded."""
