"""Reward models: scalar heads trained on pairs with the judge's probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constitution.digest import integer
from training.data.batches import Batch, Example, Layout
from training.data.encode import PairRow
from training.model.modules import COVARIATE
from training.recipes.config import Reward
from training.recipes.losses import bradley_terry, pair_loss, pairwise_accuracy
from training.recipes.recipe import WEIGHT, Outcome, Recipe, pair_batch

BOOTSTRAP = "bootstrap"
"""In a batch: how often each head's sample holds each pair, [rows, heads]."""


class HeadsRecipe(Recipe):
    """What recipes of reward models share: heads, each on its own bootstrap sample, and the covariate that is left out."""

    name = "reward"

    def __init__(self, settings: Reward) -> None:
        super().__init__()
        self._settings = settings
        self.heads = settings.heads
        self.prior = settings.prior if settings.heads > 1 else 0.0
        self.weighs_covariate = settings.debias_length

    def with_heads(self, batch: Batch, rows: Sequence[Any]) -> Batch:
        """The rows' batch with the covariate, and for an ensemble with whose sample holds what. rows: with id and example."""
        if self.weighs_covariate:
            batch[COVARIATE] = log_lengths([row.example for row in rows])
        if self.heads > 1:
            counts = [bootstrap(row.id, row.example.responses, self.heads, self._settings.seed) for row in rows]
            batch[BOOTSTRAP] = torch.tensor(np.array(counts), dtype=torch.float32)
        return batch

    @staticmethod
    def over_heads(by_head: Tensor, model: nn.Module, batch: Batch) -> Tensor:
        """The mean of a loss over heads, [rows] of [rows, heads]. Held-out rows count once for each head."""
        sampled = model.training and BOOTSTRAP in batch
        return (by_head * batch[BOOTSTRAP] if sampled else by_head).mean(-1)


class RewardRecipe(HeadsRecipe):
    """Learns to give the better response the higher reward, by as much as the judge is sure of it."""

    def collate(self, rows: Sequence[PairRow], layout: Layout) -> Batch:
        """See recipe.pair_batch and with_heads."""
        return self.with_heads(pair_batch(rows, layout), rows)

    def weight_of_covariate(self, rows: Sequence[PairRow]) -> float:
        """The best one with a reward of 0 everywhere."""
        logs = log_lengths([row.example for row in rows])
        difference = (logs[0::2] - logs[1::2]).double()
        p, weight = (torch.tensor([getattr(row, name) for row in rows]).double() for name in ("p", WEIGHT))
        margin = torch.tensor([row.margin for row in rows]).double() if self._settings.margins else 0.0
        return best(lambda w: (weight * pair_loss(w * difference - margin, p)).sum() / weight.sum().clamp(min=1e-9))

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """Bradley and Terry's loss with soft labels, the mean over heads: [rows]."""
        rewards = model(batch)
        chosen, rejected = rewards[0::2], rewards[1::2]
        margin = batch["margin"] if self._settings.margins else None
        by_head = bradley_terry(chosen, rejected, batch["p"], margin, self._settings.center)
        loss = self.over_heads(by_head, model, batch)
        a, b = chosen.detach().mean(-1), rejected.detach().mean(-1)
        values = {
            "accuracy": pairwise_accuracy(a - b, batch["p"]),
            "reward_margin": a - b,
            "reward_chosen": a,
            "reward_rejected": b,
        }
        if rewards.shape[1] > 1:
            values["disagreement"] = (chosen - rejected).detach().std(-1)
        return Outcome(loss, values)


def log_lengths(examples: Sequence[Example]) -> Tensor:
    """Log of each response's tokens, less its mean over those of the prompt: [responses].

    Its weight begins at its best value for a reward of 0, and is learnt faster than the model. So it stays near its best value,
    where what the labels leave over is not correlated with length: nothing then pulls the reward towards length, as nothing pulls a
    regression's other coefficients (Frisch and Waugh 1933). A second head that learns length, as in ODIN (Chen et al. 2024,
    2402.07319), needs the correlation over a batch, which would depend on how batches are cut.
    """
    logs = [torch.tensor([len(response) for response in example.responses]).float().log() for example in examples]
    return torch.cat([each - each.mean() for each in logs])


def best(loss: Callable[[Tensor], Tensor]) -> float:
    """Where a convex loss of one number is least; from -10 to 10, where it may have no least value."""
    w = torch.zeros((), dtype=torch.float64)
    for _ in range(50):
        w.requires_grad_()
        (slope,) = torch.autograd.grad(loss(w), w, create_graph=True)
        (curve,) = torch.autograd.grad(slope, w)
        step = (slope / curve.clamp(min=1e-3)).detach().clamp(-1, 1)
        w = (w.detach() - step).clamp(-10, 10)
        if step.abs() < 1e-6:
            break
    return float(w)


def bootstrap(name: str, responses: Sequence[Sequence[int]], heads: int, seed: int) -> list[int]:
    """How often each head's bootstrap sample holds a pair: Poisson(1), the limit of drawing n from n (Oza and Russell 2001).

    A pure function of the pair, so that it does not depend on the order or the machine.
    """
    random = np.random.default_rng(integer(repr((seed, name, responses))))
    return [int(n) for n in random.poisson(1.0, heads)]
