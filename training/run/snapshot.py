"""`training.yaml`: the settings of a run, and which of them may change when it is resumed. Imports nothing heavy."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from generation.output.folder import MACHINE
from training.config import Training
from training.monitor.config import MonitorSettings

STOPPED = "stopped.txt"
"""Why a health check stopped the run, for whoever sees no more of it than a launcher's exit code."""
MACHINE_SETTINGS = (
    "micro_batch_size",
    "layout",
    "gradient_checkpointing",
    "compile",
    "log_every",
    "save_every",
    "keep_checkpoints",
    "report_to",
    "sampler.engine",
    "sampler.responses_in_flight",
    "sampler.prompts_in_flight",
    "sampler.calls_in_flight",
    "sampler.vllm",
    "sampler.transformers",
    "sampler.endpoints",
    "reuse",
    "save_dtype",
    "license",
    "watch",
    *(f"monitor.{name}" for name in MonitorSettings.model_fields),
)
"""Settings that may change between restarts: they decide speed, memory, what is written and what ends a run, not what is learnt."""


def settings_snapshot(
    recipe: str, settings: Training, digests: Mapping[str, str], day: datetime.date | None = None
) -> dict[str, Any]:
    """What training.yaml says. day: what chat templates take for today, of a run that has begun."""
    dumped = settings.model_dump(mode="json")
    machine = {name: value for each in MACHINE_SETTINGS for name, value in _taken(dumped, each)}
    dated = {"date": day.isoformat()} if day else {}
    return {"recipe": recipe, **dumped, **dated, "digests": dict(digests), MACHINE: machine}


def _taken(settings: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    """A setting's dotted name and value, taken out; nothing where the recipe has no such setting."""
    *outer, last = name.split(".")
    for key in outer:
        settings = settings.get(key, {})
    return [(name, settings.pop(last))] if last in settings else []
