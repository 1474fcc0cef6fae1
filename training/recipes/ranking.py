"""Plackett and Luce's likelihood of rankings: DPO and reward models on several responses at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from training.data.batches import Batch, Example, Layout, by_response, collate
from training.data.ranked import RankedRow
from training.recipes.config import DPO
from training.recipes.losses import length_normalized
from training.recipes.recipe import REFERENCE, WEIGHT, Outcome, Recipe
from training.recipes.reward import HeadsRecipe, best, log_lengths

ROW, RANK = "of", "rank"
"""In a batch: the row that a response is of, and its rank, both [responses]."""
SETS, SET_WEIGHT, SET_ROW = "sets", "set_weight", "set_row"
"""In a batch: responses among which one is chosen, [sets, most], filled up with -1; what a set counts, and its row, both [sets]."""


class RankingDPORecipe(Recipe):
    """Learns to prefer responses in the order of their ranks, by how much likelier each is than under the reference."""

    name = "dpo"

    def __init__(self, settings: DPO) -> None:
        super().__init__()
        self._settings = settings

    def referred(self, rows: Sequence[RankedRow]) -> list[Example]:
        """Every ranking."""
        return [row.example for row in rows]

    def collate(self, rows: Sequence[RankedRow], layout: Layout) -> Batch:
        """See ranking_batch; with the reference's log-probabilities."""
        return self.with_references(ranking_batch(rows, layout), self.referred(rows))

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """Equation 20 of the paper of DPO (2305.18290), [rows]."""
        scores = model(batch)
        logps, lengths = by_response(scores.logprobs, batch), batch["lengths"].float()
        ratios = logps - batch[REFERENCE]
        if self._settings.normalize:
            ratios = length_normalized(ratios, lengths)
        rewards = self._settings.beta * ratios
        spread = length_normalized(by_response(scores.entropy.detach(), batch), lengths)
        count = torch.bincount(batch[ROW], minlength=len(batch[WEIGHT]))
        entropy = torch.zeros_like(batch[WEIGHT]).index_add(0, batch[ROW], spread) / count
        values = ranking_values(rewards.detach(), batch) | {"entropy": entropy}
        return Outcome(plackett_luce(rewards[:, None], batch).squeeze(1), values)


class RankingRewardRecipe(HeadsRecipe):
    """Learns to reward responses in the order of their ranks."""

    def collate(self, rows: Sequence[RankedRow], layout: Layout) -> Batch:
        """See ranking_batch and with_heads."""
        return self.with_heads(ranking_batch(rows, layout), rows)

    def weight_of_covariate(self, rows: Sequence[RankedRow]) -> float:
        """The best one with a reward of 0 everywhere."""
        logs = log_lengths([row.example for row in rows]).double()[:, None]
        batch = orders(rows)
        weight = batch[WEIGHT].double()
        return best(lambda w: (weight * plackett_luce(w * logs, batch)[:, 0]).sum() / weight.sum().clamp(min=1e-9))

    def outcome(self, model: nn.Module, batch: Batch) -> Outcome:
        """The ranking's negative log-likelihood, the mean over heads: [rows]."""
        rewards = model(batch)
        loss = self.over_heads(plackett_luce(rewards, batch), model, batch)
        return Outcome(loss, ranking_values(rewards.detach().mean(-1), batch))


def ranking_batch(rows: Sequence[RankedRow], layout: Layout) -> Batch:
    """The batch of all responses, with the order that they stand in."""
    return collate([row.example for row in rows], layout) | orders(rows)


def orders(rows: Sequence[RankedRow]) -> Batch:
    """Row and rank of each response, and the sets among which one is chosen after the other."""
    found: list[tuple[list[int], float, int]] = []
    first = 0
    for i, row in enumerate(rows):
        found += [([first + place for place in places], weight, i) for places, weight in choices(row.ranks)]
        first += len(row.ranks)
    sets = torch.full((len(found), max(len(places) for places, _, _ in found)), -1)
    for line, (places, _, _) in zip(sets, found, strict=True):
        line[: len(places)] = torch.tensor(places)
    numbers = torch.tensor([len(row.ranks) for row in rows])
    return {
        ROW: torch.repeat_interleave(torch.arange(len(rows)), numbers),
        RANK: torch.tensor([rank for row in rows for rank in row.ranks]),
        SETS: sets,
        SET_WEIGHT: torch.tensor([weight for _, weight, _ in found], dtype=torch.float32),
        SET_ROW: torch.tensor([i for _, _, i in found]),
        WEIGHT: torch.tensor([row.weight for row in rows], dtype=torch.float32),
    }


def choices(ranks: Sequence[int]) -> list[tuple[list[int], float]]:
    """The sets that a ranking chooses from, the best first, each with what it counts.

    Where ranks are equal, any order of them is as likely: of those sets that some order meets, each counts by the share of orders
    that meet it. So a tie of two is the pair loss with a label of 1/2.
    """
    found = []
    for rank in sorted({*ranks}):
        tied = [i for i, one in enumerate(ranks) if one == rank]
        worse = [i for i, one in enumerate(ranks) if one > rank]
        for size in range(len(tied), 0, -1):
            some = [*combinations(tied, size)]
            found += [([*one, *worse], 1 / len(some)) for one in some]
    return found


def plackett_luce(scores: Tensor, batch: Batch) -> Tensor:
    """Negative log-likelihood of each ranking (Plackett 1975, Luce 1959), the mean over the orders of its ties: [rows, heads].

    scores: of all responses, [responses, heads]. Σ over the sets of log Σ exp(score), less the score of each that is chosen; with
    two responses, the pair loss with a label of 1.
    """
    sets = batch[SETS]
    picked = scores[sets.clamp(min=0)].masked_fill((sets < 0)[..., None], -torch.inf)
    each = picked.logsumexp(1) * batch[SET_WEIGHT].to(scores.dtype)[:, None]
    rows = scores.new_zeros(len(batch[WEIGHT]), scores.shape[1])
    return rows.index_add(0, batch[SET_ROW], each).index_add(0, batch[ROW], -scores)


def ranking_values(rewards: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Metrics of rankings, [rows]: accuracy over pairs of different ranks, the mean rewards of the best and of the worst rank."""
    row, rank, n = batch[ROW], batch[RANK], len(batch[WEIGHT])
    better = (row[:, None] == row) & (rank[:, None] < rank)
    first, second = better.nonzero(as_tuple=True)
    right = 0.5 + 0.5 * (rewards[first] - rewards[second]).sign()
    zeros = torch.zeros(n, device=rewards.device)
    pairs = zeros.index_add(0, row[first], torch.ones_like(right))
    accuracy = zeros.index_add(0, row[first], right) / pairs.clamp(min=1) + 0.5 * (pairs == 0)  # of ties alone: chance

    def mean(chosen: Tensor) -> Tensor:
        count = zeros.index_add(0, row, chosen.float())
        return zeros.index_add(0, row, rewards * chosen) / count

    best, worst = mean(~better.any(0)), mean(~better.any(1))
    return {"accuracy": accuracy, "reward_margin": best - worst, "reward_chosen": best, "reward_rejected": worst}
