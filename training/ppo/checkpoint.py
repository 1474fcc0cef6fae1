"""Checkpoint state for resuming PPO: weights, optimizer, KL coefficient, random state, iteration; written atomically."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.run.folder import CHECKPOINTS, STATE

FILE = "state.pt"


def save_state(out: Path, iteration: int, parts: Mapping[str, Any], kept: int) -> None:
    """Write the state after an iteration and delete all but the newest `kept`."""
    folder = out / CHECKPOINTS
    scratch, target = folder / "writing", folder / f"checkpoint-{iteration}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    torch.save({**parts, "rng": torch.get_rng_state()}, scratch / FILE)
    (scratch / STATE).write_text(json.dumps({"global_step": iteration}), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    for old in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))[:-kept]:
        shutil.rmtree(old)


def load_state(folder: Path, device: Any) -> dict[str, Any]:
    """The state in a checkpoint's folder; sets the random state."""
    found: dict[str, Any] = torch.load(folder / FILE, map_location=device, weights_only=True)
    torch.set_rng_state(found.pop("rng").cpu())
    return found


def weights(module: Any) -> dict[str, Any]:
    """What training changes of a module, by name."""
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def restore(module: Any, saved: Mapping[str, Any]) -> None:
    """Put back what `weights` gave. Raises KeyError for a module with other weights."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.requires_grad:
                p.copy_(saved[name])
