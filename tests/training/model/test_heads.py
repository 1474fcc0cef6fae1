"""An ensemble knows less away from its data, and before training knows nothing at all."""

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.files import resolve
from training.config import Lora
from training.data.batches import Example, collate
from training.data.encode import PairRow
from training.model.loading import load_reward
from training.model.modules import RewardModel
from training.recipes.config import Reward
from training.recipes.reward import RewardRecipe

HEADS = 8
END = 2
SEEN, UNSEEN = range(7, 15), range(15, 24)


def pairs(words: range, count: int, seed: int) -> list[PairRow]:
    """Pairs whose better response begins with the first word of the vocabulary they are written in."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        prompt = [1, *draw.choices(words, k=4)]
        good, bad = ([first, *draw.choices(words, k=3), END] for first in (words[0], words[1]))
        rows.append(PairRow(f"{seed}-{i}", Example(prompt, (good, bad)), 0.9, 0.0, 1.0))
    return rows


@torch.no_grad()  # type: ignore[untyped-decorator]
def spread(module: RewardModel, rows: list[PairRow]) -> float:
    """The heads' standard deviation of a pair's margin, mean over pairs."""
    rewards = module.eval()(collate([row.example for row in rows], module.layout))
    return float((rewards[0::2] - rewards[1::2]).std(-1).mean())


def trained(files: ModelFiles, prior: float) -> RewardModel:
    settings = Reward(heads=HEADS, prior=prior)
    module, recipe = load_reward(files, HEADS, settings, prior).train(), RewardRecipe(settings)
    rows = pairs(SEEN, 64, 0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=0.0)
    for step in range(150):
        batch = recipe.collate(rows[16 * (step % 4) :][:16], module.layout)
        optimizer.zero_grad()
        recipe.outcome(module, batch).loss.mean().backward()
        optimizer.step()
    return module


@pytest.mark.model
def test_held_out_heads_disagree_more_away_from_the_data(tiny_files: ModelFiles) -> None:
    module = trained(tiny_files, 1.0)
    near, away = spread(module, pairs(SEEN, 32, 1)), spread(module, pairs(UNSEEN, 32, 2))
    assert away > 1.5 * near
    alike = trained(tiny_files, 0.0)
    near_alike, away_alike = spread(alike, pairs(SEEN, 32, 1)), spread(alike, pairs(UNSEEN, 32, 2))
    assert away_alike < near_alike, "without priors they agree most on what none of them knows"
    assert away > 3 * away_alike


def rewards(module: RewardModel) -> Tensor:
    with torch.no_grad():
        return module(collate([row.example for row in pairs(UNSEEN, 64, 3)], module.layout))


@pytest.mark.parametrize("lora", [None, Lora(r=4)])
def test_fresh_heads_are_the_zero_function_on_average_and_spread_by_the_prior(
    tiny_files: ModelFiles, lora: Lora | None
) -> None:
    fresh = rewards(load_reward(tiny_files, HEADS, Reward(heads=HEADS, lora=lora), 2.0))
    assert fresh.mean(-1).abs().max() < 1e-5
    assert float(fresh.std(-1, correction=0).mean()) == pytest.approx(2.0, rel=0.25)
    again = rewards(load_reward(tiny_files, HEADS, Reward(heads=HEADS, lora=lora), 2.0))
    assert torch.equal(fresh, again)
    other = rewards(load_reward(tiny_files, HEADS, Reward(heads=HEADS, lora=lora, seed=1), 2.0))
    assert not torch.allclose(fresh, other, atol=0.1)


def test_one_head_starts_from_zeros(tiny_files: ModelFiles) -> None:
    assert rewards(load_reward(tiny_files, 1, Reward(), RewardRecipe(Reward()).prior)).abs().max() == 0


def test_heads_that_a_checkpoint_has_are_kept(tiny_files: ModelFiles, tmp_path: Path) -> None:
    first = load_reward(tiny_files, 3, Reward(heads=3), 1.0)
    first.inner.save_pretrained(tmp_path)
    load_tokenizer(tiny_files).save_pretrained(tmp_path)
    again = load_reward(resolve(str(tmp_path)), 3, Reward(heads=3, seed=5), 1.0)
    assert torch.equal(again.inner.score.weight, first.inner.score.weight)
