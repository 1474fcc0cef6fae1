"""Reward models: scalar heads trained on pairs with the judge's probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from constitution.digest import integer
from training.data.batches import Batch, Layout
from training.data.encode import PairRow
from training.recipes.config import Reward
from training.recipes.losses import bradley_terry, pairwise_accuracy
from training.recipes.recipe import Outcome, Recipe, pair_batch

BOOTSTRAP = "bootstrap"
"""In a batch: how often each head's sample holds each pair, [rows, heads]."""


class RewardRecipe(Recipe):
    """Learns to give the better response the higher reward, by as much as the judge is sure of it."""

    name = "reward"

    def __init__(self, settings: Reward) -> None:
        super().__init__()
        self._settings = settings
        self.heads = settings.heads
        self.prior = settings.prior if settings.heads > 1 else 0.0

    def collate(self, rows: Sequence[PairRow], layout: Layout) -> Batch:
        """See recipe.pair_batch; an ensemble's batches say whose sample holds what."""
        batch = pair_batch(rows, layout)
        heads = self._settings.heads
        if heads > 1:
            counts = [bootstrap(row.id, row.example.responses, heads, self._settings.seed) for row in rows]
            batch[BOOTSTRAP] = torch.tensor(np.array(counts), dtype=torch.float32)
        return batch

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """Bradley and Terry's loss with soft labels, the mean over heads: [rows]. Held-out rows count once for each head."""
        rewards = model(batch)
        chosen, rejected = rewards[0::2], rewards[1::2]
        margin = batch["margin"] if self._settings.margins else None
        by_head = bradley_terry(chosen, rejected, batch["p"], margin, self._settings.center)
        sampled = model.training and BOOTSTRAP in batch
        loss = (by_head * batch[BOOTSTRAP] if sampled else by_head).mean(-1)
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


def bootstrap(name: str, responses: Sequence[Sequence[int]], heads: int, seed: int) -> list[int]:
    """How often each head's bootstrap sample holds a pair: Poisson(1), the limit of drawing n from n (Oza and Russell 2001).

    A pure function of the pair, so that it does not depend on the order or the machine.
    """
    random = np.random.default_rng(integer(repr((seed, name, responses))))
    return [int(n) for n in random.poisson(1.0, heads)]
