"""What is random in a model's forward pass, kept off while it is trained.

With dropout a model is not its own reference: DPO would not start at ln 2, nor PPO's ratio at 1. Models draw noise in many places,
some of which no attribute shows: dropout read from the configuration, jitter of a router's inputs, layers left out at random. All
of them ask whether the module is in training mode, so the model stays in evaluation mode while its weights are trained. Only
adapters, whose dropout is a setting, and layers that are to be recomputed in the backward pass are told of training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from constitution.errors import Problem
from generation.engines.base import ModelError
from training.data.batches import Batch, Example, Layout, collate

_SAME = 1e-5
"""Largest difference of two equal forward passes, as a share of the largest value."""
_ALIKE = 1e-3
"""Largest difference of a row alone from the same row beside another: sums are made in another order."""


def recompute(model: PreTrainedModel) -> None:
    """Recompute each layer's activations in the backward pass, with the layer in evaluation mode.

    Raises ModelError for a model that cannot.
    """
    try:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    except ValueError:
        got = f"got true, and model {model.config.model_type} does not support it"
        raise ModelError(
            Problem("", "gradient_checkpointing", got, fix="leave it out, and lower micro_batch_size")
        ) from None
    for layer in _recomputed(model):
        layer._gradient_checkpointing_func = _quietly(layer)


def in_training(model: nn.Module) -> list[nn.Module]:
    """The modules that are told of training."""
    tuners = [part for layer in model.modules() if isinstance(layer, BaseTunerLayer) for part in layer.modules()]
    layers: list[nn.Module] = list(_recomputed(model))
    if not layers:  # of models that recompute their layers by themselves
        layers = [part for part in model.modules() if getattr(part, "gradient_checkpointing", False)]
    return [*tuners, *layers]


@torch.no_grad()  # type: ignore[untyped-decorator]
def check(hidden: Callable[[Batch], Tensor], layout: Layout, name: str) -> None:
    """Try whether two passes over the same rows agree, and whether a row is the same alone and beside another.

    hidden: batch -> states [tokens, width], as they are computed in training. name: what the model is called. Raises ModelError.
    """
    rows = [Example([0, 1, 2, 3], [[2, 1, 3], [1, 3]]), Example([3, 1], [[2]])]
    with torch.compiler.set_stance("force_eager"):
        both = collate(rows, layout)
        first, second = hidden(both), hidden(both)
        alone = [collate([row], layout) for row in rows]
        apart = torch.cat([hidden(batch)[batch["where"]] for batch in alone])
    scale = float(first.nan_to_num().abs().max())
    if (noise := _difference(first, second)) > _SAME * scale:
        got = f"two passes over the same tokens differ by {noise / scale:.2g} of the largest value: it draws noise in training"
        fix = "set its dropout and jitter to 0 in config.json, or train another model"
        raise ModelError(Problem(f"model {name}", got=got, fix=fix))
    if (more := _difference(first[both["where"]], apart)) > _ALIKE * scale:
        got = f"what it computes for a row depends on the rows beside it: {more / scale:.2g} of the largest value"
        raise ModelError(Problem(f"model {name}", got=got, fix="train another model"))


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).nan_to_num().abs().max())


def _recomputed(model: nn.Module) -> list[GradientCheckpointingLayer]:
    return [
        part for part in model.modules() if isinstance(part, GradientCheckpointingLayer) and part.gradient_checkpointing
    ]


def _quietly(layer: nn.Module) -> Callable[..., Any]:
    """What a layer calls to be recomputed: it must be in training mode to call it, and not while it computes."""

    def run(forward: Callable[..., Any], *inputs: Any) -> Any:
        def still(*again: Any) -> Any:
            layer.training = False
            try:
                return forward(*again)
            finally:
                layer.training = True

        return checkpoint(still, *inputs, use_reentrant=False)

    return run
