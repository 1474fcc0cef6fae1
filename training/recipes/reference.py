"""The reference's log-probabilities, computed once with the model that training begins from, and kept by digest.

No second model is held in memory, and later epochs, other settings of the loss and restarts compute nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from constitution.digest import hasher
from constitution.errors import Problem, UserError
from generation.models.digests import cache_folder
from generation.scratch import Scratch
from training.data.batches import Example, Layout, by_response, collate
from training.model.memory import process as heap
from training.model.modules import Policy
from training.recipes.recipe import Scores

_KEY = "logps"


def digest(model: str, examples: Sequence[Example], precision: str, layout: Layout, device: str) -> str:
    """Of everything that decides the numbers: also of how they are rounded. device: its kind, as `cuda`."""
    h = hasher()
    h.update(f"3 {model} {precision} {layout} {device}".encode())
    for example in examples:
        h.update(repr(example).encode())
    return h.hexdigest()


def cached(name: str, examples: Sequence[Example]) -> Scores | None:
    """The scores under a digest; None where they are not there, damaged or not finite."""
    try:
        table = load_file(_path(name))[_KEY]
    except (OSError, KeyError, SafetensorError):
        return None
    sound = tuple(table.shape) == (_places(examples)[-1],) and bool(table.isfinite().all())
    return _scores(examples, table) if sound else None


def keep(name: str, examples: Sequence[Example], scores: Scores) -> str:
    """Write the scores under a digest, whole or not at all.

    Returns a warning where the folder cannot be written: this run has its scores, a later one must compute them again.
    """
    path = _path(name)
    table = torch.tensor([value for example in examples for value in scores[example]], dtype=torch.float32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Scratch(path.parent, "scores") as scratch:
            whole = scratch.path / path.name
            save_file({_KEY: table}, whole)
            whole.replace(path)
    except (OSError, SafetensorError) as error:
        return (
            f"warning: the reference's log-probabilities cannot be kept ({error}); a restart computes them again. Free some disk, "
            "or set SOLON_CACHE to another folder"
        )
    return ""


def compute(
    model: nn.Module,
    policy: Policy,
    examples: Sequence[Example],
    micro_batch: int,
    accelerator: Accelerator,
    bf16: bool,
) -> Scores:
    """Each process scores its share of the examples, those of similar length together; all get all.

    model: what is called, the policy or a wrapper of it. Every process makes the same number of calls.
    Raises UserError where some are not finite: a loss against them would be none.
    """
    by_length = sorted(range(len(examples)), key=lambda i: examples[i].size)
    batches = [by_length[i : i + micro_batch] for i in range(0, len(by_length), micro_batch)]
    places = _places(examples)
    world, rank = accelerator.num_processes, accelerator.process_index
    device = accelerator.device
    table = torch.zeros(places[-1], device=device)
    training = policy.training
    policy.eval()
    policy.entropies = False
    for first in range(0, len(batches), world):
        heap.give_back()
        mine = batches[min(first + rank, len(batches) - 1)]
        batch = {k: v.to(device) for k, v in collate([examples[i] for i in mine], policy.layout).items()}
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            scores = model(batch, reference=policy.adapted)
        if first + rank < len(batches):
            where = [place for i in mine for place in range(places[i], places[i + 1])]
            table[where] = by_response(scores.logprobs, batch)
    policy.train(training)
    policy.entropies = True
    table = accelerator.reduce(table, "sum").cpu()
    if broken := int((~table.isfinite()).sum()):
        got = f"log-probabilities of the reference are not finite for {broken} of {len(table)} responses"
        raise UserError(Problem("", "model", got, fix="set precision: fp32, or check the model's weights"))
    return _scores(examples, table)


def _places(examples: Sequence[Example]) -> list[int]:
    """Where each example's responses begin among those of all, and where the last one's end."""
    return list(accumulate((len(example.responses) for example in examples), initial=0))


def _scores(examples: Sequence[Example], table: Tensor) -> Scores:
    values, places = table.tolist(), _places(examples)
    return {example: tuple(values[places[i] : places[i + 1]]) for i, example in enumerate(examples)}


def _path(name: str) -> Path:
    return cache_folder() / "references" / f"{name}.safetensors"
