"""Process reward models: where they look, what a step costs, and what is said of the whole."""

import math
from typing import Any

import pytest
import torch

from generation.engines.checkpoint import ModelFiles
from training.data.batches import Example
from training.data.stepwise import StepRow
from training.model.loading import load_reward
from training.recipes.config import Process
from training.recipes.process import ProcessRecipe, aggregated
from training.recipes.recipe import WEIGHT

LN2, LN3 = math.log(2), math.log(3)
ROWS = [
    StepRow("a", Example((1, 8, 9), ((10, 11, 12, 13, 2),)), (1, 3), (1.0, 0.3), 1.0),
    StepRow("b", Example((1, 9), ((13, 14),)), (0, 1), (0.0, 1.0), 2.0),
]


@pytest.fixture
def model(tiny_files: ModelFiles) -> Any:
    found = load_reward(tiny_files, 1, Process()).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        found.inner.score.weight.normal_()
    return found


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_step_is_judged_at_its_last_token(tiny_files: ModelFiles, layout: Any) -> None:
    torch.manual_seed(1)
    model = load_reward(tiny_files, 1, Process(layout=layout)).eval()
    with torch.no_grad():
        model.inner.score.weight.normal_()
    recipe = ProcessRecipe(Process())
    batch = recipe.collate(ROWS, layout)
    found = recipe.log_odds(model, batch).tolist()
    plain = load_reward(tiny_files, 1, Process(layout="padded")).inner.base_model
    wanted = []
    for row in ROWS:
        ids = [*row.example.prompt, *row.example.responses[0]]
        hidden = plain(input_ids=torch.tensor([ids])).last_hidden_state[0]
        heads = (hidden @ model.inner.score.weight[0]).tolist()
        wanted += [heads[len(row.example.prompt) + place] for place in row.places]
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert batch[WEIGHT].tolist() == [2, 4]


def test_a_zero_head_costs_ln_2_a_step(tiny_files: ModelFiles) -> None:
    recipe = ProcessRecipe(Process())
    outcome = recipe.outcome(load_reward(tiny_files, 1, Process()).eval(), recipe.collate(ROWS, "packed"))
    assert outcome.loss.tolist() == pytest.approx([LN2, LN2])


def test_the_loss_is_the_mean_cross_entropy_of_the_steps(model: Any) -> None:
    recipe = ProcessRecipe(Process())
    batch = recipe.collate(ROWS, "packed")
    p = [1 / (1 + math.exp(-x)) for x in recipe.log_odds(model, batch).tolist()]
    first = (-math.log(p[0]) - 0.3 * math.log(p[1]) - 0.7 * math.log(1 - p[1])) / 2
    second = (-math.log(1 - p[2]) - math.log(p[3])) / 2
    assert recipe.outcome(model, batch).loss.tolist() == pytest.approx([first, second], rel=1e-5)


@pytest.mark.parametrize(
    ("how", "expected"), [("min", [0.25, 0.5]), ("product", [0.75 * 0.25, 0.5]), ("last", [0.25, 0.5])]
)
def test_the_whole_is_an_aggregate_of_its_steps(how: Any, expected: list[float]) -> None:
    """Steps of 3/4 and 1/4, and one of 1/2."""
    found = aggregated(torch.tensor([LN3, -LN3, 0.0]), torch.tensor([0, 0, 1]), 2, how)
    assert found.tolist() == pytest.approx(expected)


def test_scores_are_of_each_step_and_the_whole(model: Any) -> None:
    recipe = ProcessRecipe(Process(aggregate="product"))
    batch = recipe.collate(ROWS, "packed")
    p = recipe.log_odds(model, batch).sigmoid().tolist()
    first, second = recipe.scores(model, batch)
    assert first.steps == pytest.approx(p[:2])
    assert second.whole == pytest.approx(p[2] * p[3], rel=1e-5)


def test_the_share_of_wholes_that_are_told_right(model: Any) -> None:
    recipe = ProcessRecipe(Process())
    batch = recipe.collate(ROWS, "packed")
    right = [min(score.steps) > 0.5 for score in recipe.scores(model, batch)]
    told = recipe.outcome(model, batch).values["whole_accuracy"].tolist()
    assert told == [float(not one) for one in right]  # both have a wrong step
