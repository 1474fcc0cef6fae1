"""Weights in the type they are saved in, before they are measured: what is reported is of what is saved.

A step of preference training is often smaller than half the distance between two neighbouring bfloat16 numbers. Rounding to the
nearest then gives the weight that training began from, and most of the update is lost. Weights that began as such numbers are
therefore rounded at random, up or down with the probabilities that make the expected weight exact (stochastic rounding; Gupta et
al. 2015, arXiv:1502.02551). The errors of millions of weights cancel out, while the update, which points one way, stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from constitution.digest import integer
from constitution.errors import Problem, UserError

HALVES = (torch.bfloat16, torch.float16)
_PIECE = 1 << 22
"""Weights that are rounded at once, so that a large table needs little more memory than it has."""


class Movement(NamedTuple):
    """How far training moved the weights, in the type they are saved in."""

    moved: float
    """Share of the weights that differ from the base's."""
    vanishing: float
    """Share of the trained weights whose update is under half the spacing of the type they are saved in."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of weights that were rounded and compared with those of the base."""

    weights: int = 0
    moved: int = 0
    updated: int = 0
    vanishing: int = 0
    lost: int = 0
    """Finite numbers that the type cannot hold; of weights that are compared with nothing too."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def movement(self, dtype: torch.dtype) -> Movement:
        """Shares. dtype: that the weights were rounded to. Raises UserError where some are beyond its range."""
        if self.lost:
            got = f"got {str(dtype).removeprefix('torch.')}, which cannot hold {self.lost} of the weights"
            fix = "set save_dtype: float32, and run the same command again"
            raise UserError(Problem("", "save_dtype", got, fix=fix))
        return Movement(self.moved / max(self.weights, 1), self.vanishing / max(self.updated, 1))


def stochastic(values: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """float32 values -> one of the two nearest values of `dtype`, with probabilities that make the expectation exact.

    generator: on the values' device. Values that `dtype` has are kept, and so are those that it cannot hold.
    """
    nearest = values.to(dtype)
    error = values - nearest.float()
    bits = nearest.view(torch.int16)
    away = (error > 0) == (values > 0)  # from zero: the magnitude is the bits without their sign
    other = (bits + torch.where(away, 1, -1).to(torch.int16)).view(dtype)
    smallest = torch.copysign(torch.ones_like(bits).view(dtype), error)
    other = torch.where(nearest == 0, smallest, other)
    chance = error.abs() / (other.float() - nearest.float()).abs()
    drawn = torch.rand(values.shape, generator=generator, device=values.device)
    return torch.where(drawn < chance, other, nearest)


@torch.no_grad()  # type: ignore[untyped-decorator]
def round_weights(
    model: nn.Module,
    dtype: torch.dtype,
    base: Mapping[str, Tensor],
    at_random: bool,
    seed: int,
    trained_only: bool = False,
) -> Movement:
    """Put float32 weights on values of `dtype`, in place, and compare them with those of the base.

    base: name -> weight before training, of those that there were. at_random: else to the nearest, which is better where the base
    had more digits than `dtype`. A pure function of weights, names and seed; weights that `dtype` has are kept. Of weights that are
    spread over processes each rounds its own, and nothing is compared. trained_only: those alone that have gradients. Raises
    UserError for weights beyond the type's range.
    """
    total = Counts()
    for name, weight in model.named_parameters():
        if trained_only and not weight.requires_grad:
            continue
        local = weight.data.to_local() if isinstance(weight.data, DTensor) else weight.data
        total += _round(local, dtype, base.get(name), at_random, integer(repr((seed, name))))
    return total.movement(dtype)


def count_rounded(weight: Tensor, dtype: torch.dtype, base: Tensor) -> Counts:
    """Put a float32 weight on the nearest values of `dtype`, in place. base: the same before training, which has more digits."""
    return _round(weight, dtype, base, at_random=False, seed=0)


def _round(weight: Tensor, dtype: torch.dtype, base: Tensor | None, at_random: bool, seed: int) -> Counts:
    generator = torch.Generator(weight.device).manual_seed(seed % (1 << 63))
    moved = updated = vanishing = lost = 0
    flat = weight.view(-1)
    was = None if base is None else base.reshape(-1)
    for start in range(0, flat.numel(), _PIECE):
        part = flat[start : start + _PIECE]
        nearest = part.to(dtype)
        rounded = stochastic(part, dtype, generator) if at_random else nearest
        if was is not None:
            before = was[start : start + _PIECE].to(part.device)
            changed, kept = part != before.to(part.dtype), before.to(dtype)
            moved += int((rounded != kept).sum())
            updated += int(changed.sum())
            vanishing += int((changed & (nearest == kept)).sum())
        lost += int((part.isfinite() & ~rounded.isfinite()).sum())
        part.copy_(rounded)
    return Counts(0 if was is None else flat.numel(), moved, updated, vanishing, lost)
