"""Direct preference optimisation on the judge's probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from training.data.batches import Batch, Example, Layout, by_response
from training.data.encode import PairRow
from training.recipes.config import DPO
from training.recipes.losses import dpo, length_normalized, reference_free
from training.recipes.recipe import REFERENCE, Outcome, Recipe, pair_batch, pair_values


class DPORecipe(Recipe):
    """Learns to make the better response likelier than the reference does, by as much as the judge is sure of it."""

    name = "dpo"

    def __init__(self, settings: DPO) -> None:
        super().__init__()
        self._settings = settings

    def referred(self, rows: Sequence[PairRow]) -> list[Example]:
        """Every pair, but for `reference_free`."""
        return [] if self._settings.loss == "reference_free" else [row.example for row in rows]

    def collate(self, rows: Sequence[PairRow], layout: Layout) -> Batch:
        """See recipe.pair_batch; with the reference's log-probabilities, but for `reference_free`."""
        batch = pair_batch(rows, layout)
        examples = self.referred(rows)
        return self.with_references(batch, examples) if examples else batch

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
            assert settings.loss != "plackett_luce"  # which is of rankings
            margin = batch["margin"] if settings.margins else 0.0
            smoothing, penalty = settings.label_smoothing, settings.penalty
            loss = dpo(chosen, rejected, batch["p"], settings.beta, settings.loss, smoothing, margin, penalty)
        if settings.sft_weight:
            loss = loss - settings.sft_weight * length_normalized(logps, lengths)[0::2]
        return Outcome(loss, pair_values(batch, settings.beta * ratios, logps, scores.entropy) | fell)
