"""Supervised fine-tuning: the loss is on the response alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from training.data.batches import Batch, Layout, by_response
from training.data.encode import TargetRow
from training.recipes.recipe import Outcome, Recipe, target_batch


class SFTRecipe(Recipe):
    """Learns to say the responses of the data: the supervised phase of Constitutional AI when they are revisions."""

    def __init__(self, name: Literal["sft", "best_of"] = "sft") -> None:
        """name: of the recipe whose responses they are."""
        super().__init__()
        self.name = name

    def collate(self, rows: Sequence[TargetRow], layout: Layout) -> Batch:
        """See recipe.target_batch."""
        return target_batch(rows, layout)

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """Loss: negative log-likelihood per token of each response, [rows] in nats."""
        scores = model(batch)
        lengths = batch["lengths"].float()
        loss = -by_response(scores.logprobs, batch) / lengths
        entropy = by_response(scores.entropy.detach(), batch) / lengths
        return Outcome(loss, {"logp_chosen": -(loss * lengths).detach(), "entropy": entropy, "length": lengths})
