"""Direct preference optimisation on the judge's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from training.data.batches import Batch, Layout, by_response
from training.data.encode import PairRow
from training.recipes.config import DPO
from training.recipes.losses import dpo, length_normalized, pairwise_accuracy, reference_free
from training.recipes.recipe import Outcome, pair_batch

REFERENCE = "reference"
"""In a batch: the reference's log-probability of each response, [responses]."""


class DPORecipe:
    """Learns to make the better response likelier than the reference does, by as much as the judge is sure of it."""

    name: Literal["dpo"] = "dpo"

    def __init__(self, settings: DPO) -> None:
        self._settings = settings
        self.references: dict[PairRow, tuple[float, float]] = {}
        """Pair -> the reference's log-probabilities of its two responses; of every pair, before the first batch is made."""

    def collate(self, rows: Sequence[PairRow], layout: Layout) -> Batch:
        """See recipe.pair_batch; with the reference's log-probabilities, but for `reference_free`."""
        batch = pair_batch(rows, layout)
        if self._settings.loss != "reference_free":
            batch[REFERENCE] = torch.tensor([self.references[row] for row in rows], dtype=torch.float32).flatten()
        return batch

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """The settings' loss, [rows]."""
        settings = self._settings
        scores = model(batch)
        logps, lengths = by_response(scores.logprobs, batch), batch["lengths"].float()
        ratios, fell = logps, {}
        if settings.loss != "reference_free":
            ratios = logps - batch[REFERENCE]
            fell = {"logp_drop": -(ratios / batch[REFERENCE].abs()).detach()[0::2]}
        if settings.normalize:
            ratios = length_normalized(ratios, lengths)
        chosen, rejected = ratios[0::2], ratios[1::2]
        if settings.loss == "reference_free":
            loss = reference_free(chosen, rejected, settings.beta)
        else:
            loss = dpo(chosen, rejected, batch["p"], settings.beta, settings.loss, settings.label_smoothing)
        if settings.sft_weight:
            loss = loss - settings.sft_weight * length_normalized(logps, lengths)[0::2]
        values = _values(settings, batch, logps.detach(), ratios.detach(), scores.entropy.detach())
        return Outcome(loss, values | fell)


def _values(settings: DPO, batch: Batch, logps: Tensor, ratios: Tensor, entropy: Tensor) -> dict[str, Tensor]:
    rewards = settings.beta * ratios
    margin = rewards[0::2] - rewards[1::2]
    spread = by_response(entropy, batch) / batch["lengths"]
    return {
        "accuracy": pairwise_accuracy(margin, batch["p"]),
        "reward_margin": margin,
        "reward_chosen": rewards[0::2],
        "reward_rejected": rewards[1::2],
        "logp_chosen": logps[0::2],
        "logp_rejected": logps[1::2],
        "entropy": (spread[0::2] + spread[1::2]) / 2,
    }
