"""Kahneman-Tversky optimisation on unpaired responses (Ethayarajh et al. 2024, arXiv:2402.01306)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.data.batches import Batch, Example, Layout, by_response, collate
from training.data.unpaired import UnpairedRow
from training.recipes.config import KTO
from training.recipes.losses import length_normalized, pairwise_accuracy
from training.recipes.recipe import REFERENCE, SURVEY, WEIGHT, Outcome, Recipe

P, ROW = "p", "of"
"""In a batch: each response's probability of being a good one, and the row that it is of, both [responses]."""
_OTHER = "mismatched/"
"""Before the names of what belongs to the mismatched responses."""


class KTORecipe(Recipe):
    """Learns to make good responses likelier than the reference does and bad ones less likely, with diminishing returns."""

    name = "kto"

    def __init__(self, settings: KTO) -> None:
        super().__init__()
        self._settings = settings
        self.surveys = settings.loss == "kto"

    def referred(self, rows: Sequence[UnpairedRow]) -> list[Example]:
        """Every row's responses, and those that are none of its prompt's."""
        return [*(row.example for row in rows), *(row.mismatched for row in rows if row.mismatched)]

    def collate(self, rows: Sequence[UnpairedRow], layout: Layout) -> Batch:
        """Responses with p and reference; beside them the mismatched ones. A row counts by its weight and its responses."""
        examples = [row.example for row in rows]
        batch = self.with_references(collate(examples, layout), examples)
        others = [row.mismatched for row in rows if row.mismatched]
        if self.surveys:
            other = self.with_references(collate(others, layout), others)
            batch |= {f"{_OTHER}{name}": value for name, value in other.items()}
        numbers = [len(row.p) for row in rows]
        return batch | {
            P: torch.tensor([p for row in rows for p in row.p], dtype=torch.float32),
            ROW: torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(numbers)),
            WEIGHT: torch.tensor([row.weight * n for row, n in zip(rows, numbers, strict=True)], dtype=torch.float32),
        }

    def survey(self, model: nn.Module, batch: Batch) -> Tensor:
        """Log-ratios of the mismatched responses, [rows]: their mean estimates the KL of the policy from its reference."""
        other = {name.removeprefix(_OTHER): value for name, value in batch.items() if name.startswith(_OTHER)}
        return by_response(model(other).logprobs, other) - other[REFERENCE]

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """The mean loss of a row's responses, [rows]."""
        settings = self._settings
        own = {name: value for name, value in batch.items() if not name.startswith(_OTHER)}
        scores = model(own)
        ratios = by_response(scores.logprobs, batch) - batch[REFERENCE]
        baseline = batch[SURVEY].clamp(min=0) if self.surveys else torch.zeros((), device=ratios.device)
        weights = (settings.desirable_weight, settings.undesirable_weight)
        loss = kto(ratios, batch[P], baseline, settings.beta, *weights)
        rewards = settings.beta * ratios.detach()
        above = rewards - settings.beta * baseline
        spread = length_normalized(by_response(scores.entropy.detach(), batch), batch["lengths"])
        values = {
            "accuracy": pairwise_accuracy(above, batch[P]),
            "reward_margin": 2 * rewards * (batch[P] - 0.5).sign(),
            "entropy": spread,
        }
        told = {name: self._by_row(value, batch) for name, value in values.items()}
        return Outcome(
            self._by_row(loss, batch), told | {"kl_baseline": baseline.expand(len(batch[WEIGHT])).to(loss.dtype)}
        )

    @staticmethod
    def _by_row(values: Tensor, batch: Batch) -> Tensor:
        rows = len(batch[WEIGHT])
        count = torch.zeros(rows, device=values.device).index_add(0, batch[ROW], torch.ones_like(values))
        return torch.zeros(rows, device=values.device).index_add(0, batch[ROW], values) / count


def kto(
    ratios: Tensor, p: Tensor, baseline: Tensor | float, beta: float, desirable: float = 1.0, undesirable: float = 1.0
) -> Tensor:
    """Loss on log-ratios log π/π_ref of single responses that are good with probability p, [n]; gives [n].

    A good one costs desirable * (1 - σ(beta (ratio - baseline))), a bad one undesirable * (1 - σ(beta (baseline - ratio))):
    equations 7 and 8 of the paper. A soft label is the mean of both under p: with equal weights the pull is 2p - 1 times that of a
    certain one, and a label of 1/2 pulls nowhere. baseline: the KL of the policy from its reference, not below 0, without a
    gradient; with 0 this is the unpaired form of APO-zero (D'Oosterlinck et al. 2024, 2408.06266, equation 7).
    """
    above = beta * (ratios - baseline)
    return p * desirable * (-above).sigmoid() + (1 - p) * undesirable * above.sigmoid()
