"""What a recipe on rows is: rows -> batches, and a batch's loss, row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from training.config import RecipeName
from training.data.batches import Batch, Example, Layout, by_response, collate
from training.data.encode import PairRow, TargetRow
from training.recipes.losses import length_normalized, pairwise_accuracy

WEIGHT = "weight"
"""In a batch: what each row's loss counts, [rows]."""
SURVEY = "survey"
"""In a batch: the mean of what the recipe surveyed over all rows of the step or of the evaluation, a number."""
REFERENCE = "reference"
"""In a batch: the reference's log-probability of each response, [responses]."""

Scores = dict[Example, tuple[float, ...]]
"""Prompt with responses -> the reference's log-probability of each, in nats."""


class Outcome(NamedTuple):
    """Of the rows of one batch."""

    loss: Tensor
    """[rows], differentiable."""
    values: Mapping[str, Tensor]
    """Metric -> [rows]."""


class Recipe(ABC):
    """One way to train on rows."""

    name: RecipeName
    """What it is called on the command line."""
    heads: int = 0
    """Scalar heads of its model; 0 where it trains a policy."""
    prior: float = 0.0
    """Standard deviation of a new head's rewards."""
    weighs_covariate: bool = False
    """Whether its reward model learns beside the reward what labels owe to the batch's covariate."""
    surveys: bool = False
    """Whether its loss reads the mean of `survey` over all rows of a step."""

    def __init__(self) -> None:
        self.references: Scores = {}
        """Of all that `referred` names, before the first batch is made."""

    def referred(self, rows: Sequence[Any]) -> list[Example]:
        """What the rows' losses need the reference's log-probabilities of, each once; nothing where there is no reference."""
        return []

    @abstractmethod
    def collate(self, rows: Sequence[Any], layout: Layout) -> Batch:
        """A batch with the key `weight`."""

    def weight_of_covariate(self, rows: Sequence[Any]) -> float:
        """What labels owe to the covariate where nothing else is known: where its weight begins."""
        return 0.0

    def survey(self, model: nn.Module, batch: Batch) -> Tensor:
        """What is measured of a batch before a step, without a gradient: [rows]."""
        return torch.zeros_like(batch[WEIGHT])

    @abstractmethod
    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """One forward pass of the model, which may be wrapped."""

    def with_references(self, batch: Batch, examples: Sequence[Example]) -> Batch:
        """The batch of these examples, with the reference's log-probabilities of their responses."""
        known = [value for example in examples for value in self.references[example]]
        return batch | {REFERENCE: torch.tensor(known, dtype=torch.float32)}


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


def pair_values(batch: Batch, rewards: Tensor, logps: Tensor, entropy: Tensor) -> dict[str, Tensor]:
    """Metrics of pairs, [rows]. rewards and log-probabilities of all responses, [2 * rows]; entropy of their tokens, [N]."""
    rewards, logps = rewards.detach(), logps.detach()
    margin = rewards[0::2] - rewards[1::2]
    spread = length_normalized(by_response(entropy.detach(), batch), batch["lengths"])
    return {
        "accuracy": pairwise_accuracy(margin, batch["p"]),
        "reward_margin": margin,
        "reward_chosen": rewards[0::2],
        "reward_rejected": rewards[1::2],
        "logp_chosen": logps[0::2],
        "logp_rejected": logps[1::2],
        "entropy": (spread[0::2] + spread[1::2]) / 2,
    }
