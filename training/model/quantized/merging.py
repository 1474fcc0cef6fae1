"""An adapter on quantized weights -> plain weights: those that the policy was trained with, with the updates added."""

from __future__ import annotations

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from training.model.quantized.layers import QuantizedLinear, plain_layer
from training.model.rounding import Counts, count_rounded


@torch.no_grad()  # type: ignore[untyped-decorator]
def merged(model: PeftModel, dtype: torch.dtype) -> tuple[PreTrainedModel, Counts]:
    """(the model without adapter and without quantized layers, what was counted).

    Updates are added to the weights that the quantized ones stand for, layer by layer in float32, and the sum is rounded to `dtype`
    and kept so: a large model has no room for more. They are compared with the weights without updates.
    """
    base, counts = model.get_base_model(), Counts()
    for name, part in [*base.named_modules()]:
        adapted = isinstance(part, LoraLayer)
        layer = part.base_layer if adapted else part
        parent, _, leaf = name.rpartition(".")
        if not isinstance(layer, QuantizedLinear) or leaf == "base_layer":  # which its adapter takes with it
            continue
        before = layer.dense(torch.float32)
        after = before.clone()
        for adapter in part.active_adapters if adapted else ():
            after += part.get_delta_weight(adapter)
        counts += count_rounded(after, dtype, before)
        setattr(base.get_submodule(parent), leaf, plain_layer(layer, after.to(dtype)))
    plain = model.merge_and_unload()  # adapters of other layers, and heads
    rest = sum(p.numel() for p in plain.parameters()) - counts.weights
    return plain, counts + Counts(weights=rest)


def adapter_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What of an adapted model is saved, where it is saved without its base."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
