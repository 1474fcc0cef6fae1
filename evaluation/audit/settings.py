"""Settings of `evaluation audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from constitution.options import Option, Options


class AuditSettings(Options):
    """What a finished run's labels can be trusted for."""

    run: Annotated[Path, Option("RUN", positional=True)]
    """A finished run folder."""
    out: Annotated[Path | None, Option("FILE")] = None
    """Where the page goes (default: RUN/report.html)."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Also write the figures, as JSON."""
    config: Annotated[Path | None, Option("FILE")] = None
    """Thresholds, as YAML."""
    overrides: Annotated[tuple[str, ...], Option("KEY=VALUE", "--set")] = ()
    """One threshold, as in longer=0.6; repeatable."""
    gate: bool = False
    """Exit with 1 when a threshold is crossed."""
    against: Annotated[tuple[Path, ...], Option("FILE")] = ()
    """Evaluation set that the prompts must not overlap with: rows with `prompt`, in any form of prompts; repeatable."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """The column of the evaluation sets that holds a field, as in prompt=question; a set without it is read by its own names."""
    clean: Annotated[Path | None, Option("FOLDER")] = None
    """Write this folder: the run without the prompts that nearly repeat others or overlap, as a run of its own."""
