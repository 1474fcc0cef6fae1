"""How evenly a mixture of experts spreads its tokens, and the loss that evens them out.

That loss is of Switch Transformers (Fedus et al. 2021, arXiv:2101.03961, equations 4 to 6), for each layer: experts * sum over
experts of (share of the tokens that are routed to it) * (mean probability that the router gives it), and the mean over layers. With
k experts a token it is k where all is even. Shares are those of an optimizer step's rows in all processes, counted before the step
(Qiu et al. 2025, arXiv:2501.11873): what is left is a sum over tokens, so that micro-batches and processes change nothing. Tokens
are those that predict a trained one, which no layout has twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from constitution.errors import Problem
from generation.engines.base import ModelError
from training.data.batches import Batch

SHARES = "expert_shares"
"""In a batch: tokens of the step that are routed to each expert, over all its tokens, [layers, experts]; a row adds up to k."""
TOKENS = "routed_tokens"
"""In a batch: how many tokens the step has, a number."""


_BIASES = ("correction_bias", "expert_bias")
"""Ends of the names of what is added to scores before experts are chosen (Wang et al. 2024, arXiv:2408.15664)."""


class Routing(NamedTuple):
    """What a layer's router said of the tokens of one forward pass."""

    logits: Tensor
    """[tokens, experts]"""
    chosen: Tensor
    """[tokens, k] indices of the experts with the highest ones."""


class Experts:
    """The routers of a model, read while it computes."""

    def __init__(self, model: PreTrainedModel, weight: float) -> None:
        """weight: of the balance loss. Raises ModelError for a model without routers, or one that is balanced in another way."""
        self.weight = weight
        kind, routers = model.config.model_type, dict(_routers(model))
        if not routers:
            raise _unfit(f"got a weight, and model {kind} has no routers")
        tensors = chain(model.named_parameters(), model.named_buffers())
        if any(name.endswith(_BIASES) for name, _ in tensors):
            raise _unfit(f"got a weight, and model {kind} balances its experts by a bias in place of a loss")
        self._found: list[Routing] | None = None
        for router, place in routers.items():
            k = getattr(router, "top_k", None) or getattr(model.config, "num_experts_per_tok", None)
            if not isinstance(k, int):
                raise _unfit(f"got a weight, and model {kind} does not say how many experts a token has")
            router.register_forward_hook(partial(self._take, place, k))

    @contextmanager
    def recording(self) -> Iterator[list[Routing]]:
        """What each layer's router says, in the order of layers, of the one forward pass that is made meanwhile."""
        self._found = []
        try:
            yield self._found
        finally:
            self._found = None

    def _take(self, place: int, k: int, router: nn.Module, given: Any, result: Any) -> None:
        if self._found is not None:
            logits = (result[place] if isinstance(result, tuple) else result).flatten(0, -2)
            self._found.append(Routing(logits, logits.detach().topk(k).indices))


def tokens_per_expert(routings: Sequence[Routing], batch: Batch) -> Tensor:
    """Tokens that are routed to each expert of each layer, and a row of how many there are: [layers + 1, experts] float32."""
    where = batch["where"]
    counts = [torch.bincount(chosen[where].flatten(), minlength=logits.shape[-1]) for logits, chosen in routings]
    return torch.stack([*counts, torch.full_like(counts[0], len(where))]).float()


def balance_loss(routings: Sequence[Routing], batch: Batch) -> Tensor:
    """This batch's part of the step's balance loss, a number; differentiable in the logits."""
    parts = [
        (shares * logits[batch["where"]].float().softmax(-1).sum(0)).sum() * len(shares)
        for shares, (logits, _) in zip(batch[SHARES], routings, strict=True)
    ]
    return torch.stack(parts).mean() / batch[TOKENS]


def largest_load(shares: Tensor) -> Tensor:
    """[layers, experts] -> tokens of a layer's most used expert over the even share; the mean over layers."""
    return (shares.amax(-1) / shares.mean(-1)).mean()


def _routers(model: PreTrainedModel) -> Iterator[tuple[nn.Module, int]]:
    """The modules that transformers itself reads router logits of, and their place among what each returns."""
    for part in model.modules():
        named = (getattr(part, "_can_record_outputs", None) or {}).get("router_logits", ())
        for recorder in named if isinstance(named, (list, tuple)) else (named,):
            for name, module in part.named_modules():
                if isinstance(module, recorder.target_class) and (recorder.layer_name or "") in name:
                    yield module, recorder.index


def _unfit(got: str) -> ModelError:
    return ModelError(Problem("", "router_aux_loss", got, fix="leave it out"))
