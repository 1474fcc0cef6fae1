"""Heads of an ensemble that disagree where the data says nothing.

Heads that start alike and see almost the same pairs agree everywhere, also where all of them are wrong. Each fresh head starts from
a random prior of its own (randomized prior functions; Osband et al. 2018, arXiv:1806.03335): training moves a head where pairs tell
it to, and elsewhere it keeps its prior, so that the spread grows away from the data. The priors of all heads add up to nothing: the
mean of fresh heads is the zero function.
"""

from __future__ import annotations

import torch

from training.data.batches import Example, collate
from training.model.modules import RewardModel


@torch.no_grad()  # type: ignore[untyped-decorator]
def draw_priors(module: RewardModel, prior: float, seed: int) -> None:
    """Give the heads random weights that add up to zero; one head gets zeros.

    prior: standard deviation of a head's reward over random responses, for hidden states as large as this model's.
    """
    weight = module.inner.score.weight
    heads, width = weight.shape
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(heads, width, generator=generator)
    drawn -= drawn.mean(0)
    size = module.hidden(collate([Example([0, 1, 2, 3], [[2, 1, 3], [1, 3]])], module.layout)).square().mean().sqrt()
    left = max(heads - 1, 1) / heads  # of the variance, once the mean is taken off
    weight.copy_(drawn * (prior / (size.cpu() * (width * left) ** 0.5)))
