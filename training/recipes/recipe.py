"""What a recipe on rows is: rows -> batches, and a batch's loss, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from training.data.batches import Batch, Layout, collate
from training.data.encode import PairRow, TargetRow

WEIGHT = "weight"
"""In a batch: what each row's loss counts, [rows]."""


class Outcome(NamedTuple):
    """Of the rows of one batch."""

    loss: Tensor
    """[rows], differentiable."""
    values: Mapping[str, Tensor]
    """Metric -> [rows]."""


class Recipe(Protocol):
    """One way to train on rows."""

    @property
    def name(self) -> Literal["sft", "best_of", "reward", "dpo"]:
        """What it is called on the command line."""

    def collate(self, rows: Sequence[Any], layout: Layout) -> Batch:
        """A batch with the key `weight`."""

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """One forward pass of the model, which may be wrapped."""


def pair_batch(rows: Sequence[PairRow], layout: Layout) -> Batch:
    """Pairs: response 2i is row i's chosen one, 2i + 1 its rejected one; p, margin and weight are [rows]."""
    batch = collate([row.example for row in rows], layout)
    numbers = {name: [getattr(row, name) for row in rows] for name in ("p", "margin", WEIGHT)}
    return batch | {name: torch.tensor(values, dtype=torch.float32) for name, values in numbers.items()}


def target_batch(rows: Sequence[TargetRow], layout: Layout) -> Batch:
    """Responses to learn; a row counts by its weight and its tokens, so that every token counts the same."""
    batch = collate([row.example for row in rows], layout)
    weights = torch.tensor([row.weight for row in rows], dtype=torch.float32)
    return batch | {WEIGHT: weights * batch["lengths"]}
