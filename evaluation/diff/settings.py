"""Settings of `evaluation diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option, Options


class DiffSettings(Options):
    """Two runs to compare."""

    run_a: Annotated[Path, Option("RUN_A", positional=True)]
    """The earlier run's folder."""
    run_b: Annotated[Path, Option("RUN_B|CONSTITUTION", positional=True)]
    """The later run's folder; or an edited constitution, by which the earlier run's votes are counted anew, without a call."""
    show: Annotated[int, Option("N")] = Field(default=10, ge=0)
    """List at most N pairs of each kind."""
