"""Settings of `solon review`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from constitution.errors import invalid
from constitution.options import Option, Options


class ReviewSettings(Options):
    """Pairs of a run for a person to look at."""

    run: Annotated[Path, Option("RUN", positional=True)]
    """A finished run's folder."""
    by: Annotated[str, Option("NAME")] = Field(default="", max_length=100)
    """Who answers (default: the name you are logged in by)."""
    next_pairs: Annotated[int, Option("N", "--next")] = Field(default=0, ge=0, le=10_000)
    """Print the next N pairs, and stop."""
    as_json: Annotated[bool, Option("", "--json")] = False
    """With --next: a JSON object a line. Alone: what the answers so far say, as JSON."""
    add: Annotated[tuple[str, ...], Option("LINE")] = ()
    """Add a label, as a line of review.jsonl; `-` reads lines from the standard input. Repeatable."""
    progress: bool = False
    """Print what the answers so far say, and stop."""

    @model_validator(mode="after")
    def _one(self) -> ReviewSettings:
        if self.add and (self.next_pairs or self.progress):
            raise invalid("is given beside --next or --progress", "one of them", key="add")
        return self

    @property
    def annotator(self) -> str:
        """Who answers."""
        if self.by:
            return self.by
        try:
            return getpass.getuser()
        except OSError:  # a container's user without a name
            return ""
