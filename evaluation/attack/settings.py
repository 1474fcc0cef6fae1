"""Settings of `evaluation attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option
from evaluation.judge.settings import PanelSettings


class AttackSettings(PanelSettings):
    """A judge against responses that try to manipulate it."""

    limit: Annotated[int | None, Option("N")] = Field(default=None, ge=1)
    """Use only the first N pairs of the suite."""
    principles: Annotated[int, Option("N")] = Field(default=3, ge=1)
    """Judge by the N principles of greatest weight."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Write every figure, as JSON."""
