"""Log-probabilities of given tokens from hidden states, without ever keeping the logits of more than a few positions.

The head of a small model is its largest layer: 1,000 tokens times a vocabulary of 50,000 are 200 MB in float32, and automatic
differentiation keeps several such tables. Here a chunk's logits are made, used and forgotten, and made again in the backward
pass, as fused cross-entropy kernels do it (Hsu et al. 2024, arXiv:2410.10989).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = {"cpu": 1 << 23}
"""Most logits that exist at once, by kind of device: 32 MiB in float32 on a CPU, near the size of its caches."""
_OTHER = 1 << 26
"""Elsewhere: 256 MiB, since each chunk is a dozen kernels that must be launched."""


def chunk(device: str) -> int:
    """Most logits that exist at once on a kind of device, such as `cuda`."""
    return CHUNK.get(device, _OTHER)


def token_scores(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    bias: Tensor | None = None,
    cap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(log-probability of each target [N], entropy in nats at its position [N]), both float32.

    hidden: [N, width], weight: [vocabulary, width], targets: [N]. The logits are squashed to ±cap, as cap * tanh(logit / cap)
    (Gemma 2, arXiv:2408.00118), where there is one, then divided by the temperature. Differentiable in
    hidden, weight and bias, by the log-probabilities and by the entropies. Under autocast, factors are rounded to its type; logits
    are float32 all the same: in bfloat16 those between 16 and 32 are multiples of 1/8, which is more than most steps change.
    """
    scores: tuple[Tensor, Tensor] = _TokenScores.apply(hidden, weight, targets, temperature, bias, cap)
    return scores


class _TokenScores(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        temperature: float,
        bias: Tensor | None,
        cap: float | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        h, w = _factors(hidden.to(dtype), weight.to(dtype))
        rows = max(1, chunk(kind) // len(weight))
        logprobs, entropies, totals = [], [], []
        for part, wanted in zip(h.split(rows), targets.split(rows), strict=True):
            logits = _logits(part, w, bias, temperature, cap)
            total = logits.logsumexp(-1)
            logprobs.append(logits.gather(-1, wanted[:, None]).squeeze(-1) - total)
            logits -= total[:, None]
            entropies.append(-(logits.exp().mul_(logits)).sum(-1))
            totals.append(total)
        logprob, entropy, total = torch.cat(logprobs), torch.cat(entropies), torch.cat(totals)
        ctx.save_for_backward(hidden, weight, targets, total, entropy, bias)
        ctx.temperature, ctx.cap, ctx.dtype, ctx.rows = temperature, cap, dtype, rows
        return logprob, entropy

    @staticmethod
    def backward(ctx: Any, by_logprob: Tensor | None, by_entropy: Tensor | None) -> tuple[Tensor | None, ...]:
        """d logprob / d logit = [target] - p, and d entropy / d logit = -p (log p + entropy)."""
        hidden, weight, targets, totals, entropies, bias = ctx.saved_tensors
        h, w = hidden.to(ctx.dtype), weight.to(ctx.dtype)
        left, right = _factors(h, w)
        grad_hidden = torch.empty_like(h) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[4] else None
        by_logprob = torch.zeros_like(totals) if by_logprob is None else by_logprob
        for start in range(0, len(h), ctx.rows):
            part = slice(start, start + ctx.rows)
            logp = _logits(left[part], right, bias, ctx.temperature, ctx.cap)
            # d capped / d logit = 1 - tanh^2
            slope = 1 - (logp * (ctx.temperature / ctx.cap)).square_() if ctx.cap else None
            logp -= totals[part, None]
            if by_entropy is None:
                grad = logp.exp_().mul_(-by_logprob[part, None])
            else:
                by_p = by_logprob[part, None] + (by_entropy[part] * entropies[part])[:, None]
                p = logp.exp()
                grad = logp.mul_(-by_entropy[part, None]).sub_(by_p).mul_(p)
            grad.scatter_add_(-1, targets[part, None], by_logprob[part, None])
            grad = grad.div_(ctx.temperature)
            if slope is not None:
                grad *= slope
            if grad_bias is not None:
                grad_bias += grad.sum(0)
            grad = grad.to(ctx.dtype)
            if grad_hidden is not None:
                torch.mm(grad, w, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight += grad.t() @ h[part]
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None,
            None,
            grad_bias,
            None,
        )


def _factors(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """In the type in which `_logits` multiplies them: only CUDA adds up halves to a float32 result."""
    return (hidden, weight) if hidden.is_cuda else (hidden.float(), weight.float())


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float, cap: float | None) -> Tensor:
    """A table of its own in float32, which may be overwritten. hidden, weight: as `_factors` has them."""
    with torch.autocast(hidden.device.type, enabled=False):
        if hidden.dtype in (torch.bfloat16, torch.float16):
            logits = torch.mm(hidden, weight.t(), out_dtype=torch.float32)
        else:
            logits = (hidden @ weight.t()).float()
    if bias is not None:
        logits += bias.float()
    if cap:
        logits = logits.div_(cap).tanh_().mul_(cap)
    return logits.div_(temperature) if temperature != 1.0 else logits
