"""The recipes of `training/catalogue.py`, run. Everything that trains is imported from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from constitution.errors import UserError
from generation.engines.base import ModelError
from generation.output.files import write_atomically
from training.best_of import job as best_of_job
from training.best_of import run as best_of
from training.best_of.config import BestOf
from training.config import Training
from training.model import launch
from training.ppo import job as ppo_job
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.run import fit, job, rank
from training.run.metrics import MetricsError
from training.run.page import SETTINGS
from training.run.snapshot import STOPPED
from training.run.summary import show


def _on_rows(settings: Training, out: Path, console: Console) -> dict[str, Any]:
    return fit.run(job.prepare(settings, out), console)


def _on_prompts(settings: PPO, out: Path, console: Console) -> dict[str, Any]:
    return ppo.run(ppo_job.prepare(settings, out), console)


def _on_best(settings: BestOf, out: Path, console: Console) -> dict[str, Any]:
    return best_of.run(best_of_job.prepare(settings, out), console)


_TRAIN: Mapping[str, Callable[[Any, Path, Console], dict[str, Any]]] = {
    "sft": _on_rows,
    "best_of": _on_best,
    "reward": _on_rows,
    "dpo": _on_rows,
    "ppo": _on_prompts,
}
"""Each checks everything, then trains; returns what training.json says."""


def train(recipe: str, settings: Training, out: Path, console: Console) -> int:
    """Train, or go on training, and say what came out; returns the exit code."""
    if rank.first() and (out / SETTINGS).is_file():  # else the folder is new, or not ours
        (out / STOPPED).unlink(missing_ok=True)
    try:
        said = _TRAIN[recipe](settings, out, console)
    except fit.Stopped as stopped:
        if rank.first():
            write_atomically(out / STOPPED, f"{stopped}\n")
        rank.tell(stopped)
        return 1
    except fit.Incomplete as incomplete:
        rank.tell(incomplete)
        return 1
    except (UserError, ModelError, MetricsError) as error:
        rank.tell(error)
        return 2
    if rank.first():
        show(said, out, console)
    launch.leave()
    return 0
