"""What a finished training run says on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.run.page import PAGE


def show(said: Mapping[str, Any], out: Path, console: Console) -> None:
    """Rows, results on held-out rows, and where everything is. said: training.json."""
    best = f", the model of step {said['best_step']}" if said.get("best_step") else ""
    title = f"{said['recipe']}: {said['steps']} steps in {said['seconds']:,.0f} s{best}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for split, counts in said["rows"].items():
        for name, n in counts.items():
            table.add_row(f"{split}: {name.replace('_', ' ')}", f"{n:,}")
    for name, value in said["results"].items():
        table.add_row(name.replace("eval_", "held out: ").replace("_", " "), f"{value:.4g}")
    console.print(table)
    console.print(f"checkpoint and model card: {out}   curves: {out / PAGE}", markup=False, soft_wrap=True)
