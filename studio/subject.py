"""What the studio was opened on."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Problem, UserError
from generation.output.folder import CONSTITUTION, SETTINGS, TRAINING


class Kind(Enum):
    """What can be opened; the value is what it is called."""

    RUN = "run"
    CONSTITUTION = "constitution"
    TRAINING = "training"
    LOOP = "loop"
    POLICY = "policy evaluation"


LOOP = "loop.yaml"


class Subject(NamedTuple):
    """A folder or file, and what it is."""

    kind: Kind
    path: Path

    @property
    def name(self) -> str:
        """What pages call it."""
        return self.path.resolve().name

    @property
    def constitution(self) -> Path | None:
        """The constitution that it is or was made with; None where there is none."""
        if self.kind is Kind.CONSTITUTION:
            return self.path
        path = self.path / CONSTITUTION
        return path if self.kind is Kind.RUN and path.is_file() else None


def subject_of(path: Path) -> Subject:
    """What a path leads to. Raises UserError."""
    if path.is_file() and path.suffix == ".json":
        return Subject(Kind.POLICY, path)
    if path.is_file():
        return Subject(Kind.CONSTITUTION, path)
    for name, kind in ((LOOP, Kind.LOOP), (TRAINING, Kind.TRAINING), (SETTINGS, Kind.RUN)):
        if (path / name).is_file():
            return Subject(kind, path)
    got = "is no run (no run.yaml, training.yaml or loop.yaml)" if path.is_dir() else "does not exist"
    allowed = "a run, a training, a loop, a constitution's YAML file, or what `evaluate policy --json` wrote"
    raise UserError(Problem(str(path), got=got, allowed=allowed))
