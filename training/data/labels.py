"""How a judge's probability becomes the label that a loss reads."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from constitution.records import Strict
from generation.reads import ReadIf

HARD = ("sigmoid", "plackett_luce", "reference_free")
"""Losses that take every label as certain."""
_SOFT = ReadIf(
    f"loss is not {', '.join(HARD)}",
    lambda _, whole: getattr(whole, "loss", "") not in HARD,
)

_PROBABLE = ReadIf("loss is not plackett_luce", lambda _, whole: getattr(whole, "loss", "") != "plackett_luce")


class Labels(Strict):
    """How the judge's probabilities become training labels."""

    floor: Annotated[float, _SOFT] = Field(default=0.0, ge=0, lt=0.5)
    """Probabilities are clipped to [floor, 1 - floor]."""
    temperature: Annotated[float, _SOFT] = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the log-odds of the labels: above 1 makes labels less extreme."""
    min_confidence: Annotated[float, _PROBABLE] = Field(default=0.5, ge=0.5, le=1)
    """Pairs with a smaller p_chosen are dropped and counted; of unpaired responses those nearer to 1/2."""

    def trusted(self, p: float) -> float:
        """A probability at the labels' temperature, kept from both ends."""
        if 0 < p < 1 and self.temperature != 1:
            p = 1 / (1 + math.exp(-math.log(p / (1 - p)) / self.temperature))
        return min(max(p, self.floor), 1 - self.floor)
