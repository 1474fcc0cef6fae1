"""Checkpoint state for resuming PPO: weights, optimizer, KL coefficient, random state, iteration; written atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from generation.output.files import remove, sync
from training.model import launch
from training.run.folder import CHECKPOINTS, rotate
from training.run.sealed import seal

FILE = "state.pt"


def save_state(out: Path, iteration: int, parts: Mapping[str, Any], kept: int) -> None:
    """Write the state after an iteration and, once it is whole, delete all but the newest `kept`. Raises OSError."""
    folder = out / CHECKPOINTS
    scratch, target = folder / "writing", folder / f"checkpoint-{iteration}"
    remove(scratch)
    scratch.mkdir(parents=True)
    with (scratch / FILE).open("wb") as file:
        torch.save({**parts, "rng": torch.get_rng_state()}, file)
    seal(scratch)
    remove(target)
    scratch.rename(target)
    sync(folder)
    rotate(out, kept)


def load_state(folder: Path) -> dict[str, Any]:
    """The state in a checkpoint's folder, in main memory; sets the random state."""
    found: dict[str, Any] = torch.load(folder / FILE, map_location="cpu", weights_only=True)
    torch.set_rng_state(found.pop("rng"))
    return found


def weights(module: Any) -> dict[str, Any]:
    """What training changes of a module, by name. Where weights are spread over processes, each must ask."""
    return {name: launch.whole(p.detach()) for name, p in module.named_parameters() if p.requires_grad}


def optimizer_state(optimizer: Any) -> dict[str, Any]:
    """The optimizer's state with whole tensors. Where they are spread over processes, each must ask."""
    found: dict[str, Any] = optimizer.state_dict()
    kept = {
        i: {name: launch.whole(v) if torch.is_tensor(v) else v for name, v in one.items()}
        for i, one in found["state"].items()
    }
    return {**found, "state": kept}


def restore_optimizer(optimizer: Any, saved: dict[str, Any]) -> None:
    """Put back what `optimizer_state` gave."""
    optimizer.load_state_dict(saved)
    for p, own in optimizer.state.items():
        for name, value in own.items():
            if torch.is_tensor(value) and value.shape == p.shape:
                own[name] = launch.share(value, p)


def restore(module: Any, saved: Mapping[str, Any]) -> None:
    """Put back what `weights` gave. Raises KeyError for a module with other weights. Where they are spread over processes, each
    must ask, and the main one's are taken."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.requires_grad:
                known = saved[name] if launch.state().is_main_process or not launch.sharded() else torch.empty(p.shape)
                p.copy_(launch.share(known, p))
