"""Linear layers in few bits: what they stand for, what they compute, and what goes back through them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bitsandbytes import functional as bnb
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from torch import nn

from training.model.quantized.layers import QuantizedLinear

WAYS = {
    "nf4, nested": lambda: Linear4bit(192, 64, compress_statistics=True, quant_type="nf4"),
    "nf4": lambda: Linear4bit(192, 64, compress_statistics=False, quant_type="nf4"),
    "fp4": lambda: Linear4bit(192, 64, bias=False, compress_statistics=False, quant_type="fp4"),
    "int8": lambda: Linear8bitLt(192, 64, has_fp16_weights=False),
}


def made(way: str) -> tuple[QuantizedLinear, nn.Linear, Any]:
    """(ours, the layer that was quantized, bitsandbytes' own)."""
    torch.manual_seed(0)
    plain, theirs = nn.Linear(192, 64, bias=way != "fp4"), WAYS[way]()
    theirs.load_state_dict(plain.state_dict())
    theirs = theirs.to("cpu")
    return QuantizedLinear(theirs), plain, theirs


@pytest.mark.parametrize("way", WAYS)
def test_the_weight_is_what_bitsandbytes_makes_of_it(way: str) -> None:
    ours, plain, theirs = made(way)
    if way == "int8":
        weight = theirs.weight.data * (theirs.weight.SCB / 127)[:, None]
        bound = plain.weight.abs().amax(1)[:, None] / 220  # half a step of 1/127, and bitsandbytes reads it as float16
    else:
        weight = bnb.dequantize_4bit(theirs.weight.data, theirs.weight.quant_state)
        most = plain.weight.reshape(-1, 64).abs().amax(1)  # of a block
        bound = (0.17 * most).repeat_interleave(64).reshape(plain.weight.shape)  # half of the widest gap between values
    assert torch.equal(ours.dense(torch.float32), weight)
    assert torch.equal(ours.dense(torch.bfloat16), weight.to(torch.bfloat16))
    assert bool(((weight - plain.weight).abs() <= bound).all())
    assert ours.weight.numel() * ours.weight.element_size() == 192 * 64 // (1 if way == "int8" else 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mixed", [False, True])
def test_it_computes_as_a_layer_of_that_weight(way: str, mixed: bool) -> None:
    ours, plain, _ = made(way)
    plain.weight.data = ours.dense(torch.float32)
    found = []
    for layer in (ours, plain):
        x = torch.linspace(-1, 1, 5 * 192).reshape(5, 192).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out = layer(x)
        out.float().square().sum().backward()
        assert x.grad is not None
        found.append((out.detach(), x.grad))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=2e-2 if mixed else 1e-5, atol=2e-2 if mixed else 1e-5)
    assert all(p.grad is None and not p.requires_grad for p in ours.parameters())
