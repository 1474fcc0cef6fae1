"""Linear layers whose weights are kept in 4 or 8 bits, as bitsandbytes has them, and are computed with in the input's own type.

4 bits: NF4 or FP4 in blocks, also with scales that are quantized themselves (Dettmers et al. 2023, arXiv:2305.14314). 8 bits: rows
with a scale each (Dettmers et al. 2022, arXiv:2208.07339); only weights are rounded here, not activations, whose rounding would
depend on what else is in a batch and would be gone from merged weights. A layer's weight exists whole only while it is used, and
is made again on the way back.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D


class Scales(NamedTuple):
    """What is constant of a weight in 4 bits."""

    kind: str
    """`nf4` or `fp4`."""
    block: int
    """Weights that share a scale."""
    nested: int
    """Scales that share a scale; 0 where they are plain numbers."""


class QuantizedLinear(nn.Linear):  # type: ignore[misc]
    """A frozen linear layer. All that it keeps are parameters without gradients, so that they move with the module."""

    weight: nn.Parameter
    """Packed: uint8 [n / 2, 1] for 4 bits, int8 [out, in] for 8."""

    def __init__(self, layer: Any) -> None:
        """layer: bitsandbytes' Linear4bit or Linear8bitLt with weights, which this one takes over."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = int(layer.in_features), int(layer.out_features)
        self.transposed = getattr(layer, "source_cls", nn.Linear) is Conv1D
        """Whether it stands for a Conv1D, which keeps its weight the other way round."""
        self.scales: Scales | None = None
        bias = layer.bias
        self.bias = None if bias is None else _frozen(bias.detach())
        if (state := getattr(layer.weight, "quant_state", None)) is None:
            self.weight = _frozen(layer.weight.data)
            self.absmax = _frozen(layer.weight.SCB.float())
            return
        self.weight = _frozen(layer.weight.data.view(torch.uint8))
        inner = state.state2 if state.nested else None
        self.scales = Scales(state.quant_type, state.blocksize, inner.blocksize if inner else 0)
        self.absmax, self.code = _frozen(state.absmax), _frozen(state.code)
        if inner:
            self.offset, self.outer, self.levels = map(_frozen, (state.offset, inner.absmax, inner.code))

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight [out, in] that the layer computes with."""
        if self.scales is None:
            return (self.weight.float() * (self.absmax / 127)[:, None]).to(dtype)
        absmax = self.absmax
        if self.scales.nested:
            operator = torch.ops.bitsandbytes.dequantize_blockwise
            absmax = operator(absmax, self.outer, self.levels, self.scales.nested, torch.float32) + self.offset
        shape = (self.out_features, self.in_features)
        made = torch.ops.bitsandbytes.dequantize_4bit(
            self.weight, absmax, self.scales.block, self.scales.kind, shape, dtype
        )
        return cast(Tensor, made)

    def forward(self, input: Tensor) -> Tensor:
        """As nn.Linear's, under automatic mixed precision too; differentiable in its input alone."""
        kind = input.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
        out: Tensor = _Product.apply(input.to(dtype), self)
        return out if self.bias is None else out + self.bias.to(dtype)


class StoredLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer whose weight is kept in the type that it is saved in, and computed with in that of the input."""

    def __init__(self, weight: Tensor, bias: nn.Parameter | None) -> None:
        """weight: [out, in]."""
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight, self.bias = _frozen(weight), bias

    def forward(self, input: Tensor) -> Tensor:
        """As nn.Linear's."""
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return functional.linear(input, self.weight.to(input.dtype), bias)


def plain_layer(layer: QuantizedLinear, weight: Tensor) -> nn.Module:
    """A layer with another weight [out, in] in place of a quantized one, whose name and shape are those of a checkpoint."""
    if not layer.transposed:
        return StoredLinear(weight, layer.bias)
    plain = Conv1D(layer.out_features, layer.in_features)
    plain.weight = _frozen(weight.t().float().contiguous())
    plain.bias = layer.bias
    return plain


def take_over(model: nn.Module) -> None:
    """Put our layers in place of bitsandbytes' in a transformers model, which then is an ordinary one to all that handle it."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    for name, part in [*model.named_modules()]:
        if isinstance(part, Linear4bit | Linear8bitLt):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, QuantizedLinear(part))
    for name in ("hf_quantizer", "quantization_method", "is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit"):
        vars(model).pop(name, None)
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        vars(config).pop("quantization_config", None)
    # transformers reverses these as it saves, and cannot reverse those of bitsandbytes
    made: list[Any] = vars(model).get("_weight_conversions") or []
    model._weight_conversions = [one for one in made if not any(map(_of_few_bits, getattr(one, "operations", ())))]


def _of_few_bits(operation: object) -> bool:
    return type(operation).__module__ == "transformers.integrations.bitsandbytes"


def is_quantized(model: nn.Module) -> bool:
    """Whether some of a model's layers are quantized."""
    return any(isinstance(part, QuantizedLinear) for part in model.modules())


class _Product(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return functional.linear(input, layer.dense(input.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad @ ctx.layer.dense(grad.dtype), None


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)
