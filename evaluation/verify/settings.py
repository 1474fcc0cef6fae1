"""Settings of `evaluation verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option, Options


class VerifySettings(Options):
    """Preference data from anywhere, to be looked at before anybody trains on it."""

    dataset: Annotated[str, Option("DATASET", positional=True)]
    """A file, a folder, an address, a hub id, each with `@split`, or a run's folder; without `@split` every split is read."""
    columns: Annotated[tuple[str, ...], Option("FIELD=COLUMN", "--map")] = ()
    """Column that holds a field, where it is not found by its name: as in chosen=good,rejected=bad; repeatable."""
    limit: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Read only the first N rows of each split."""
    sample: Annotated[int, Option("N")] = Field(default=10_000, ge=100)
    """Rows, drawn at random, whose texts are looked at closely: verdicts, refusals, ends, near-duplicates."""
    seed: Annotated[int, Option("N")] = 0
    """Seed of that draw."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Also write what is found, as JSON."""
