"""The reference's log-probabilities, computed once with the model that training begins from, and kept by digest.

No second model is held in memory, and later epochs, other settings of the loss and restarts pay nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from generation.digests import cache_folder
from training.batches import by_reply
from training.data import PairRow
from training.models import Policy
from training.recipe import pair_batch

Scores = dict[PairRow, tuple[float, float]]
"""Pair -> log-probability of its chosen and its rejected reply, in nats."""
_KEY = "logps"


def digest(model: str, rows: Sequence[PairRow], precision: str) -> str:
    """Of everything that decides the numbers."""
    h = blake2b(f"1 {model} {precision}".encode(), digest_size=16)
    for row in rows:
        h.update(repr(row.example).encode())
    return h.hexdigest()


def cached(name: str, rows: Sequence[PairRow]) -> Scores | None:
    """The scores under a digest; None where they are not there or damaged."""
    try:
        table = load_file(_path(name))[_KEY]
    except (OSError, KeyError, SafetensorError):
        return None
    return _scores(rows, table) if tuple(table.shape) == (len(rows), 2) else None


def keep(name: str, rows: Sequence[PairRow], scores: Scores) -> None:
    """Write the scores under a digest, whole or not at all."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{torch.initial_seed() & 0xFFFF:x}.tmp")
    save_file({_KEY: torch.tensor([scores[row] for row in rows], dtype=torch.float32)}, scratch)
    scratch.replace(path)


def compute(
    model: Any, policy: Policy, rows: Sequence[PairRow], micro_batch: int, accelerator: Accelerator, bf16: bool
) -> Scores:
    """Each process scores its share of the rows, rows of similar length together; all get all.

    model: what is called, the policy or a wrapper of it. Every process makes the same number of calls.
    """
    places = sorted(range(len(rows)), key=lambda i: rows[i].example.size)
    batches = [places[i : i + micro_batch] for i in range(0, len(places), micro_batch)]
    world, rank = accelerator.num_processes, accelerator.process_index
    device = accelerator.device
    table = torch.zeros(len(rows), 2, device=device)
    training = policy.training
    policy.eval()
    for first in range(0, len(batches), world):
        mine = batches[min(first + rank, len(batches) - 1)]
        batch = {k: v.to(device) for k, v in pair_batch([rows[i] for i in mine], policy.layout).items()}
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            scores = model(batch, reference=policy.adapted)
        if first + rank < len(batches):
            table[mine] = by_reply(scores.logprobs, batch).view(-1, 2)
    policy.train(training)
    return _scores(rows, accelerator.reduce(table, "sum").cpu())


def _scores(rows: Sequence[PairRow], table: Any) -> Scores:
    return {row: (a, b) for row, (a, b) in zip(rows, table.tolist(), strict=True)}


def _path(name: str) -> Path:
    return cache_folder() / "references" / f"{name}.safetensors"
