"""Log-probabilities of given tokens from hidden states, without ever keeping the logits of more than a few positions.

The head of a small model is its largest layer: 1,000 tokens times a vocabulary of 50,000 are 200 MB in float32, and automatic
differentiation keeps several such tables. Here a chunk's logits are made, used and forgotten. Of a small batch their softmax is
kept for the backward pass; of a larger one the logits are made again, as fused cross-entropy kernels do it (Hsu et al. 2024,
arXiv:2410.10989).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK = {"cpu": 1 << 23}
"""Most logits that exist at once, by kind of device: 32 MiB in float32 on a CPU, near the size of its caches."""
_OTHER = 1 << 26
"""Elsewhere: 256 MiB, since each chunk is a dozen kernels that must be launched."""
KEPT = 8
"""Chunks of a batch whose softmax is kept for the backward pass: 128 MiB in bfloat16 on a CPU, 1 GiB elsewhere."""


def chunk(device: str) -> int:
    """Most logits that exist at once on a kind of device, such as `cuda`."""
    return CHUNK.get(device, _OTHER)


def amx() -> bool:
    """True where this CPU multiplies bfloat16 in tiles, several times faster than float32, and oneDNN may use them."""
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    return bool(torch.cpu._is_amx_tile_supported()) and (allowed in ("DEFAULT", "ALL") or "AMX" in allowed)


def token_scores(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    bias: Tensor | None = None,
    cap: float | None = None,
    entropies: bool = True,
) -> tuple[Tensor, Tensor]:
    """(log-probability of each target [N], entropy in nats at its position [N]), both float32.

    hidden: [N, width], weight: [vocabulary, width], targets: [N]. The logits are squashed to ±cap, as cap * tanh(logit / cap)
    (Gemma 2, arXiv:2408.00118), where there is one, then divided by the temperature. Differentiable in hidden, weight and bias,
    by the log-probabilities and by the entropies; entropies that nobody asked for are NaN. Under autocast a GPU, or a CPU with
    AMX, rounds factors to its type; logits are float32 all the same: in bfloat16 those between 16 and 32 are multiples of 1/8,
    which is more than most steps change.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    keep = torch.is_grad_enabled() and not cap and targets.numel() * len(weight) <= KEPT * chunk(kind)
    work = _Work(kind, dtype, temperature, cap, max(1, chunk(kind) // len(weight)), entropies, keep)
    scores: tuple[Tensor, Tensor] = _TokenScores.apply(hidden, weight, bias, targets, work)
    return scores


class _Work(NamedTuple):
    """How a batch is computed. A CPU multiplies in float32, of which AMX makes bfloat16; a GPU multiplies in `dtype`."""

    kind: str
    dtype: torch.dtype
    temperature: float
    cap: float | None
    rows: int
    """Positions of a chunk."""
    entropies: bool
    keep: bool
    """Whether the softmax is kept."""

    @property
    def tiles(self) -> bool:
        """True where float32 products are done by AMX, in bfloat16."""
        return self.kind == "cpu" and self.dtype == torch.bfloat16 and amx()

    def factor(self, tensor: Tensor) -> Tensor:
        """In the type in which it is multiplied, and rounded here where AMX would: not every size of product comes to AMX."""
        if self.kind == "cpu":
            return tensor.to(self.dtype).float() if self.tiles else tensor.float()
        return tensor.to(self.dtype)

    def logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A table of its own in float32, which may be overwritten."""
        with self._products():
            if hidden.dtype in (torch.bfloat16, torch.float16):
                logits = torch.mm(hidden, weight.t(), out_dtype=torch.float32)
            else:
                logits = (hidden @ weight.t()).float()
        if bias is not None:
            logits += bias.float()
        if self.cap:
            logits = logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits.div_(self.temperature) if self.temperature != 1.0 else logits

    def add_gradients(
        self, grad: Tensor, hidden: Tensor, weight: Tensor, of_hidden: Tensor | None, of_weight: Tensor | None
    ) -> None:
        """From the gradient of a chunk's logits: write that of its hidden states, add to that of the weight."""
        grad = grad if self.kind == "cpu" else grad.to(self.dtype)
        with self._products():
            if of_hidden is not None:
                torch.mm(grad, weight, out=of_hidden)
            if of_weight is not None and self.kind == "cpu":
                of_weight.addmm_(grad.t(), hidden)
            elif of_weight is not None:
                of_weight += grad.t() @ hidden

    @contextmanager
    def _products(self) -> Iterator[None]:
        """Products of matrices as they are asked for, whatever autocast says; those of float32 by AMX where bfloat16 will do."""
        with torch.autocast(self.kind, enabled=False):
            if not self.tiles:
                yield
                return
            library = torch.backends.mkldnn.matmul
            before, library.fp32_precision = library.fp32_precision, "bf16"
            try:
                yield
            finally:
                library.fp32_precision = before


class _TokenScores(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, work: _Work
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        h, w = work.factor(hidden), work.factor(weight)
        logprobs, spreads, totals, tables = [], [], [], []
        for part, wanted in zip(h.split(work.rows), targets.split(work.rows), strict=True):
            logits = work.logits(part, w, bias)
            top = logits.amax(-1, keepdim=True)
            target = logits.sub_(top).gather(-1, wanted[:, None])
            p = logits.exp() if work.entropies else logits.exp_()
            total = p.sum(-1, keepdim=True)
            log = total.log()
            if work.keep:
                half = torch.bfloat16 if work.dtype.itemsize == 2 else torch.float32
                tables.append(torch.div(p, total, out=torch.empty_like(p, dtype=half)))
            if work.entropies:
                spreads.append(log - p.mul_(logits).sum(-1, keepdim=True).div_(total))
            logprobs.append(target - log)
            totals.append(log + top)
        # Flat copies: FSDP drops its hooks on views of what a forward pass made.
        logprob, total = torch.cat([part[:, 0] for part in logprobs]), torch.cat(totals)
        entropy = torch.cat([part[:, 0] for part in spreads]) if spreads else torch.full_like(logprob, torch.nan)
        ctx.save_for_backward(hidden, weight, bias, targets, total, logprob, entropy, *tables)
        # Rounding the weight takes as long as the product of a hundred tokens.
        ctx.work, ctx.weight = work, w if work.keep and w is not weight else None
        return logprob, entropy

    @staticmethod
    def backward(ctx: Any, by_logprob: Tensor | None, by_entropy: Tensor | None) -> tuple[Tensor | None, ...]:
        """d logprob / d logit = [target] - p, and d entropy / d logit = -p (log p + entropy)."""
        hidden, weight, bias, targets, totals, logprobs, entropies, *tables = ctx.saved_tensors
        work: _Work = ctx.work
        h, w = work.factor(hidden), work.factor(weight) if ctx.weight is None else ctx.weight
        grad_hidden = torch.empty_like(h) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[2] else None
        by_logprob = torch.zeros_like(logprobs) if by_logprob is None else by_logprob
        for i, start in enumerate(range(0, len(h), work.rows)):
            part = slice(start, start + work.rows)
            pull, places, slope = by_logprob[part, None], targets[part, None], None
            if by_entropy is None and tables:
                grad = tables[i] * -pull
            else:
                grad = work.logits(h[part], w, bias)
                if work.cap:  # d capped / d logit = 1 - tanh^2
                    slope = 1 - (grad * (work.temperature / work.cap)).square_()
                grad = grad.sub_(totals[part])
                if by_entropy is None:
                    grad = grad.exp_().mul_(-pull)
                else:
                    spread = by_entropy[part, None]
                    p = grad.exp()
                    grad = grad.mul_(-spread).sub_(pull + spread * entropies[part, None]).mul_(p)
            if by_entropy is None:  # 1 - p of a likely target has no digits where p was rounded
                grad.scatter_(-1, places, -pull * logprobs[part, None].expm1())
            else:
                grad.scatter_add_(-1, places, pull)
            grad = grad.div_(work.temperature) if work.temperature != 1.0 else grad
            grad = grad if slope is None else grad.mul_(slope)
            if grad_bias is not None:
                grad_bias += grad.sum(0)
            work.add_gradients(grad, h[part], w, None if grad_hidden is None else grad_hidden[part], grad_weight)
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            None if grad_weight is None else grad_weight.to(weight.dtype),
            grad_bias,
            None,
            None,
        )
