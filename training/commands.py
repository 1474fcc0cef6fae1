"""Runs the recipes that `training/catalogue.py` names; everything that trains is imported from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from constitution.errors import Unavailable, UserError
from generation.output.files import write_atomically
from training.best_of import job as best_of_job
from training.best_of import run as best_of
from training.best_of.config import BestOf
from training.config import Training
from training.model import launch
from training.online import trainer as online
from training.online.config import OnlineDPO
from training.ppo import job as ppo_job
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.run import fit, job, rank
from training.run.page import PAGE, SETTINGS
from training.run.snapshot import STOPPED


def _on_rows(settings: Training, out: Path, console: Console) -> dict[str, Any]:
    return fit.run(job.prepare(settings, out), console)


def _on_prompts(settings: PPO, out: Path, console: Console) -> dict[str, Any]:
    return ppo.run(ppo_job.prepare(settings, out), console)


def _on_dpo(settings: Training, out: Path, console: Console) -> dict[str, Any]:
    return online.run(settings, out, console) if isinstance(settings, OnlineDPO) else _on_rows(settings, out, console)


def _on_best(settings: BestOf, out: Path, console: Console) -> dict[str, Any]:
    return best_of.run(best_of_job.prepare(settings, out), console)


_TRAIN: Mapping[str, Callable[[Any, Path, Console], dict[str, Any]]] = {
    "sft": _on_rows,
    "best_of": _on_best,
    "reward": _on_rows,
    "dpo": _on_dpo,
    "simpo": _on_rows,
    "orpo": _on_rows,
    "kto": _on_rows,
    "process": _on_rows,
    "ppo": _on_prompts,
}
"""Recipe -> what checks everything, then trains, and returns training.json."""


def train(recipe: str, settings: Training, out: Path, console: Console) -> int:
    """Train, or resume training, and print what came out. Returns the exit code.

    recipe: a key of `training.catalogue.COMMANDS` whose settings model is that of `settings`. out: the folder to write.
    """
    if rank.first() and (out / SETTINGS).is_file():  # else the folder is new, or not ours
        (out / STOPPED).unlink(missing_ok=True)
    try:
        record = _TRAIN[recipe](settings, out, console)
    except UserError as error:
        rank.tell(error)
        return 2
    except fit.Stopped as stopped:
        if rank.first():
            write_atomically(out / STOPPED, f"{stopped}\n")
        rank.tell(stopped)
        return 1
    except Unavailable as unavailable:
        rank.tell(unavailable)
        return 1
    if rank.first():
        _show(record, out, console)
    launch.leave()
    return 0


def _show(record: Mapping[str, Any], out: Path, console: Console) -> None:
    """Rows, results on held-out rows, and where everything is. record: training.json."""
    best = f", the model of step {record['best_step']}" if record.get("best_step") else ""
    title = f"{record['recipe']}: {record['steps']} steps in {record['seconds']:,.0f} s{best}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for split, counts in record["rows"].items():
        for name, n in counts.items():
            table.add_row(f"{split}: {name.replace('_', ' ')}", f"{n:,}")
    for name, value in record["results"].items():
        table.add_row(name.replace("eval_", "held out: ").replace("_", " "), f"{value:.4g}")
    console.print(table)
    console.print(f"checkpoint and model card: {out}   curves: {out / PAGE}", markup=False, soft_wrap=True)
