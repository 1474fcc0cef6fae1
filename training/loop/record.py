"""Records of a loop: a decision for each attempt at a round, and the outcome at the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from constitution.errors import Problem, UserError
from constitution.records import Strict
from critics.ranking.weights import Estimate
from generation.output.files import sync, write_atomically
from training.loop.gates import Gate

DONE = "loop.json"
POLICY = "policy"
"""A link to the checkpoint of the last round that was kept."""

T = TypeVar("T", bound=Strict)


class Decision(Strict):
    """Whether one attempt at a round is kept, and why."""

    round: int
    attempt: int
    recipe: str
    parent: str
    """The policy that the round started from: a folder within the loop's, or the base by its name."""
    policy: str
    """The checkpoint, within the loop's folder."""
    digest: str = ""
    """Of its weights, configuration and tokenizer; empty where it was not evaluated."""
    learning_rate: float
    accepted: bool
    reasons: tuple[str, ...] = ()
    """Why it is not accepted."""
    gates: tuple[Gate, ...] = ()
    level: Literal["ok", "warn", "halt"] = "ok"
    """What the monitor says."""
    alerts: tuple[str, ...] = ()
    """Its alerts, in words."""
    notes: tuple[str, ...] = ()
    """What else is to be known: why training ended early, warnings of the evaluation."""
    figures: dict[str, Estimate] = Field(default_factory=dict)
    """What the policy came to, by name."""
    base: dict[str, Estimate] = Field(default_factory=dict)
    """The base's measures of the same names, where it has them."""


class Outcome(Strict):
    """The whole of loop.json."""

    policy: str
    """The policy to use: a folder within the loop's, or the base by its name."""
    accepted: int
    """Rounds that were kept."""
    stopped: str = ""
    """Why the loop ended before its last round."""
    decisions: tuple[Decision, ...]


def write(path: Path, record: Strict) -> None:
    """Write a record, whole or not at all."""
    write_atomically(path, record.model_dump_json(indent=1) + "\n")


def read(path: Path, kind: type[T]) -> T | None:
    """A record; None where there is none. Raises UserError for one that is damaged."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        fix = "delete it, and the loop decides again"
        raise UserError(Problem(str(path), got=f"cannot be read ({reason})", fix=fix)) from None


def point(folder: Path, policy: str) -> None:
    """Have `policy` in the loop's folder lead to a checkpoint within it."""
    link, beside = folder / POLICY, folder / f"{POLICY}.tmp"
    if link.is_symlink() and os.readlink(link) == policy:
        return
    beside.unlink(missing_ok=True)
    beside.symlink_to(policy)
    os.replace(beside, link)
    sync(folder)
