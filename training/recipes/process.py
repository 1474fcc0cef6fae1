"""Process reward models: a probability at the end of each step of a response that the step is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.data.batches import Batch, Layout, collate
from training.data.stepwise import StepRow
from training.recipes.config import Aggregate, Process
from training.recipes.losses import pair_loss, pairwise_accuracy
from training.recipes.recipe import WEIGHT, Outcome, Recipe

ENDS, P, ROW = "ends", "p", "of"
"""In a batch: place of each step's last token in the flattened tokens, its label, and the row that it is of, all [steps]."""


class StepScores(NamedTuple):
    """What a model says of one response."""

    steps: list[float]
    """Probability that each step is right."""
    whole: float
    """That the response is, by the settings' aggregate of them."""


class ProcessRecipe(Recipe):
    """Learns which steps of a response are right (Lightman et al. 2023, arXiv:2305.20050)."""

    name = "process"
    heads = 1

    def __init__(self, settings: Process) -> None:
        super().__init__()
        self._settings = settings

    def collate(self, rows: Sequence[StepRow], layout: Layout) -> Batch:
        """Steps with their labels. A row counts by its weight and its steps, so that every step counts the same."""
        batch = collate([row.example for row in rows], layout)
        ends = [
            last - len(row.example.responses[0]) + 1 + place
            for last, row in zip(batch["last"].tolist(), rows, strict=True)
            for place in row.places
        ]
        numbers = torch.tensor([len(row.p) for row in rows])
        return batch | {
            ENDS: torch.tensor(ends),
            P: torch.tensor([p for row in rows for p in row.p], dtype=torch.float32),
            ROW: torch.repeat_interleave(torch.arange(len(rows)), numbers),
            WEIGHT: numbers * torch.tensor([row.weight for row in rows], dtype=torch.float32),
        }

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """The mean cross-entropy of a row's steps with their labels, [rows]."""
        found = self.log_odds(model, batch)
        row, rows = batch[ROW], len(batch[WEIGHT])
        right = (batch[P] > 0.5).float()
        whole = aggregated(found.detach(), row, rows, self._settings.aggregate)
        all_right = torch.ones(rows, device=right.device).scatter_reduce(0, row, right, "amin")
        values = {
            "accuracy": _mean(pairwise_accuracy(found.detach(), batch[P]), row, rows),
            "whole_accuracy": ((whole > 0.5).float() == all_right).float(),
        }
        return Outcome(_mean(pair_loss(found, batch[P]), row, rows), values)

    def scores(self, model: nn.Module, batch: Batch) -> list[StepScores]:
        """What the model says of each row: its steps and the whole."""
        found = self.log_odds(model, batch).detach()
        rows = len(batch[WEIGHT])
        whole = aggregated(found, batch[ROW], rows, self._settings.aggregate)
        steps = found.sigmoid()
        return [StepScores(steps[batch[ROW] == i].tolist(), float(whole[i])) for i in range(rows)]

    @staticmethod
    def log_odds(model: nn.Module, batch: Batch) -> Tensor:
        """The head at each step's last token, [steps]."""
        return model(batch | {"last": batch[ENDS]}).squeeze(1)


def aggregated(log_odds: Tensor, row: Tensor, rows: int, how: Aggregate) -> Tensor:
    """Probability that a whole response is right, [rows], of the log-odds of its steps, [steps], in their order."""
    p = log_odds.sigmoid()
    if how == "last":
        last = torch.bincount(row, minlength=rows).cumsum(0) - 1
        return p[last]
    return torch.ones(rows, device=p.device).scatter_reduce(0, row, p, "amin" if how == "min" else "prod")


def _mean(values: Tensor, row: Tensor, rows: int) -> Tensor:
    total = torch.zeros(rows, device=values.device).index_add(0, row, values)
    return total / torch.bincount(row, minlength=rows)
