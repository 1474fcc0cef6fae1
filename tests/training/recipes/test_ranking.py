"""Plackett and Luce's likelihood: by hand, against every order of every ranking, and as DPO and reward models use it."""

import math
from itertools import pairwise, permutations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from generation.engines.checkpoint import ModelFiles
from tests.properties import examples
from training.data.batches import Example
from training.data.ranked import RankedRow
from training.model.loading import load_policy, load_reward
from training.recipes.config import DPO, Reward
from training.recipes.losses import pair_loss
from training.recipes.ranking import (
    RankingDPORecipe,
    RankingRewardRecipe,
    choices,
    plackett_luce,
    ranking_batch,
    ranking_values,
)
from training.recipes.recipe import REFERENCE

LN2 = math.log(2)


def row(*ranks: int, name: str = "a") -> RankedRow:
    return RankedRow(name, Example((1, 8), tuple((9 + i, 2) for i in range(len(ranks)))), ranks, 1.0)


def loss(scores: list[float], *ranks: int) -> Tensor:
    batch = ranking_batch([row(*ranks)], "packed")
    return plackett_luce(torch.tensor(scores, dtype=torch.float64)[:, None], batch)[0, 0]


def by_orders(scores: list[float], ranks: tuple[int, ...]) -> float:
    """The mean of -log P over the orders that break no rank, each P a product of choices among those left."""
    costs = []
    for order in permutations(range(len(scores))):
        if all(ranks[a] <= ranks[b] for a, b in pairwise(order)):
            left = [*order]
            cost = 0.0
            for one in order:
                cost += math.log(sum(math.exp(scores[i]) for i in left)) - scores[one]
                left.remove(one)
            costs.append(cost)
    return sum(costs) / len(costs)


def test_by_hand() -> None:
    """Weights 3, 2 and 1 in this order: 3/6 then 2/3. Scores that are equal: one of 3!."""
    assert loss([math.log(3), math.log(2), 0.0], 1, 2, 3).item() == pytest.approx(math.log(3))
    assert loss([5.0, 5.0, 5.0], 1, 2, 3).item() == pytest.approx(math.log(6))


@examples(60)
@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 3)), min_size=2, max_size=5))
def test_it_is_the_mean_over_all_orders_that_break_no_rank(given: list[tuple[float, int]]) -> None:
    given = sorted(given, key=lambda one: one[1])
    scores, ranks = [score for score, _ in given], tuple(rank for _, rank in given)
    assert loss(scores, *ranks).item() == pytest.approx(by_orders(scores, ranks), rel=1e-6, abs=1e-6)


def test_two_responses_are_a_pair_and_a_tie_is_a_label_of_one_half() -> None:
    for difference in (-2.0, 0.0, 1.5):
        m = torch.tensor(difference, dtype=torch.float64)
        torch.testing.assert_close(loss([difference + 7, 7.0], 1, 2), pair_loss(m, 1.0), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(loss([difference + 7, 7.0], 1, 1), pair_loss(m, 0.5), rtol=1e-6, atol=1e-6)


def test_ties_count_each_set_by_the_orders_that_meet_it() -> None:
    assert choices((1, 1, 3)) == [([0, 1, 2], 1.0), ([0, 2], 0.5), ([1, 2], 0.5), ([2], 1.0)]


def test_the_gradient_is_what_is_chosen_less_how_likely_it_was() -> None:
    """Equal scores, order a b c: -(1 - 1/3), -(1 - 1/3 - 1/2), 1/3 + 1/2."""
    scores = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    plackett_luce(scores, ranking_batch([row(1, 2, 3)], "packed")).sum().backward()
    assert scores.grad is not None
    assert scores.grad.flatten().tolist() == pytest.approx([-2 / 3, -1 / 6, 5 / 6])


def test_rankings_of_several_sizes_stand_side_by_side() -> None:
    rows = [row(1, 2, 3), row(1, 1, name="b"), row(1, 2, 2, 4, name="c")]
    scores = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    together = plackett_luce(scores, ranking_batch(rows, "packed"))
    parts = [
        plackett_luce(part, ranking_batch([one], "padded"))
        for part, one in zip(scores.split([3, 2, 4]), rows, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(parts))


def test_accuracy_is_over_pairs_of_different_ranks() -> None:
    """Scores 3, 1, 2 in ranks 1, 2, 2: both pairs right. 1, 3, 2 in 1, 2, 3: one of three. Ties alone: chance."""
    batch = ranking_batch([row(1, 2, 2), row(1, 2, 3), row(1, 1)], "packed")
    values = ranking_values(torch.tensor([3.0, 1, 2, 1, 3, 2, 5, 4]), batch)
    assert values["accuracy"].tolist() == pytest.approx([1, 1 / 3, 0.5])
    assert values["reward_margin"].tolist() == pytest.approx([1.5, -1, 0])


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_dpo_and_reward_models_begin_where_all_orders_are_as_likely(tiny_files: ModelFiles, layout: Any) -> None:
    rows = [row(1, 2, 3), row(1, 1, name="b")]
    chosen = DPO(loss="plackett_luce", layout=layout)
    policy, recipe = load_policy(tiny_files, chosen).eval(), RankingDPORecipe(chosen)
    with torch.no_grad():
        start = policy(ranking_batch(rows, layout)).logprobs.view(-1, 2).sum(1).tolist()
    recipe.references = {rows[0].example: tuple(start[:3]), rows[1].example: tuple(start[3:])}
    batch = recipe.collate(rows, layout)
    assert batch[REFERENCE].tolist() == pytest.approx(start)
    assert recipe.outcome(policy, batch).loss.tolist() == pytest.approx([math.log(6), LN2], abs=1e-5)
    reward = RankingRewardRecipe(Reward(loss="plackett_luce", heads=2))
    model = load_reward(tiny_files, 2, Reward(layout=layout)).eval()
    found = reward.outcome(model, reward.collate(rows, layout)).loss.tolist()
    assert found == pytest.approx([math.log(6), LN2], abs=1e-5)
