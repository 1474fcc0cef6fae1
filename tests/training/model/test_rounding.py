"""Rounding at random: expectations are exact, neighbours are neighbours, and what the type has is kept."""

import pytest
import torch
from torch import nn

from constitution.errors import UserError
from training.model.rounding import round_weights, stochastic

TYPES = [torch.bfloat16, torch.float16]
DRAWS = 20_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("value", [1.001, -1.001, 0.9999, -0.02011, 3e-9, -3e-9, 255.3])
def test_the_expectation_is_the_value_and_only_its_two_neighbours_are_drawn(value: float, dtype: torch.dtype) -> None:
    exact = torch.full((DRAWS,), value)
    drawn = stochastic(exact, dtype, seeded()).float()
    low, high = sorted(drawn.unique().tolist())
    assert low < value < high
    assert not [v for v in torch.linspace(low, high, 99)[1:-1].to(dtype).float().tolist() if low < v < high]
    error = (high - low) / 2 / DRAWS**0.5  # of the mean
    assert float(drawn.double().mean()) == pytest.approx(float(exact[0]), abs=5 * error)


@pytest.mark.parametrize("dtype", TYPES)
def test_what_the_type_has_is_kept_and_so_is_what_it_cannot_hold(dtype: torch.dtype) -> None:
    values = torch.randn(1000, generator=seeded()).to(dtype).float()
    values[:4] = torch.tensor([0.0, -0.0, float("inf"), float("-inf")])
    assert torch.equal(stochastic(values, dtype, seeded(1)).float(), values)
    assert stochastic(torch.tensor([float("nan")]), dtype, seeded()).isnan().all()


def linear(update: float) -> tuple[nn.Linear, dict[str, torch.Tensor]]:
    """A layer of ones to which an update was added, and what it was."""
    layer = nn.Linear(200, 100)
    before = {name: torch.ones_like(weight).to(torch.bfloat16) for name, weight in layer.named_parameters()}
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(1 + update)
    return layer, before


def test_small_updates_vanish_to_the_nearest_and_stay_on_average_at_random() -> None:
    spacing = 2**-7  # of bfloat16 above 1
    layer, before = linear(spacing / 8)
    nearest = round_weights(layer, torch.bfloat16, before, at_random=False, seed=0)
    assert (nearest.moved, nearest.vanishing) == (0.0, 1.0)
    assert torch.equal(layer.weight, torch.ones(100, 200))
    layer, before = linear(spacing / 8)
    drawn = round_weights(layer, torch.bfloat16, before, at_random=True, seed=0)
    assert drawn.vanishing == 1.0
    assert drawn.moved == pytest.approx(1 / 8, abs=0.01)
    assert float(layer.weight.detach().mean()) - 1 == pytest.approx(spacing / 8, rel=0.1)


def test_large_updates_do_not_vanish() -> None:
    layer, before = linear(0.5)
    assert round_weights(layer, torch.bfloat16, before, at_random=True, seed=0) == (1.0, 0.0)


def test_float32_keeps_everything() -> None:
    layer, before = linear(1e-5)
    whole = layer.weight.clone()
    assert round_weights(layer, torch.float32, before, at_random=False, seed=0) == (1.0, 0.0)
    assert torch.equal(layer.weight, whole)


def test_a_seed_and_a_name_decide_what_is_drawn() -> None:
    found = []
    for seed in (0, 0, 1):
        layer, before = linear(1e-3)
        round_weights(layer, torch.bfloat16, before, at_random=True, seed=seed)
        found.append(layer.weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_weights_that_the_type_cannot_hold_are_refused() -> None:
    layer, before = linear(1e5)
    with pytest.raises(
        UserError, match="save_dtype: got float16, which cannot hold 20100 of the weights; set save_dtype: float32"
    ):
        round_weights(layer, torch.float16, before, at_random=False, seed=0)
