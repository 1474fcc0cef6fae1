"""Preference optimisation without a reference: SimPO and ORPO, on log-probabilities per token."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from training.data.batches import Batch, Layout, by_response
from training.data.encode import PairRow
from training.recipes.config import ORPO, SimPO
from training.recipes.losses import length_normalized, log_odds, orpo, simpo
from training.recipes.recipe import Outcome, Recipe, pair_batch, pair_values


class SimPORecipe(Recipe):
    """Learns to make a token of the better response likelier than one of the other, by a margin."""

    name = "simpo"

    def __init__(self, settings: SimPO) -> None:
        super().__init__()
        self._settings = settings

    def collate(self, rows: Sequence[PairRow], layout: Layout) -> Batch:
        """See recipe.pair_batch."""
        return pair_batch(rows, layout)

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """See losses.simpo, [rows]. A reward is beta times the log-probability per token."""
        settings = self._settings
        scores = model(batch)
        logps = by_response(scores.logprobs, batch)
        each = length_normalized(logps, batch["lengths"].float())
        loss = simpo(each[0::2], each[1::2], batch["p"], settings.beta, settings.gamma)
        if settings.sft_weight:
            loss = loss - settings.sft_weight * each[0::2]
        return Outcome(loss, pair_values(batch, settings.beta * each, logps, scores.entropy))


class ORPORecipe(Recipe):
    """Learns the better response as fine-tuning does, and that its odds be higher than the other's."""

    name = "orpo"

    def __init__(self, settings: ORPO) -> None:
        super().__init__()
        self._settings = settings

    def collate(self, rows: Sequence[PairRow], layout: Layout) -> Batch:
        """See recipe.pair_batch."""
        return pair_batch(rows, layout)

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """See losses.orpo, [rows]. A reward is the log-odds of a response, of its log-probability per token."""
        scores = model(batch)
        logps = by_response(scores.logprobs, batch)
        each = length_normalized(logps, batch["lengths"].float())
        loss = orpo(each[0::2], each[1::2], batch["p"], self._settings.odds_weight)
        return Outcome(loss, pair_values(batch, log_odds(each), logps, scores.entropy))
