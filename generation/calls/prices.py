"""What calls cost: tokens times the prices of whoever serves the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pydantic import Field

from constitution.records import Strict
from generation.engines.base import Usage


class Price(Strict):
    """What a model's provider takes for a million tokens."""

    prompt: float = Field(ge=0, allow_inf_nan=False)
    """Of tokens read."""
    cached: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Of tokens read that the provider had in its prefix cache; as `prompt` where absent."""
    completion: float = Field(ge=0, allow_inf_nan=False)
    """Of tokens written, thoughts among them."""
    batch: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Factor of all three for calls by the vendor's batch API (`batch: true`): half the price where most vendors are."""

    def of(self, usage: Usage) -> float:
        """What these tokens cost."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt - usage.cached
        factor = self.batch if usage.batched else 1.0
        return factor * (fresh * self.prompt + usage.cached * cached + usage.completion * self.completion) / 1e6


class Spent(NamedTuple):
    """What calls came to. Sums of two are the sums of their parts."""

    calls: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: float = 0.0
    """In the currency of the prices; of models with a price alone."""
    estimated: int = 0
    """Of the tokens, those that nobody reported: guessed, rather too many than too few."""

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt + self.completion

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        calls, prompt, cached, completion, cost, estimated = (a + b for a, b in zip(self, other, strict=True))
        return Spent(int(calls), int(prompt), int(cached), int(completion), cost, int(estimated))

    def less(self, other: Spent) -> Spent:
        """This without the other."""
        calls, prompt, cached, completion, cost, estimated = (a - b for a, b in zip(self, other, strict=True))
        return Spent(int(calls), int(prompt), int(cached), int(completion), cost, int(estimated))


def spent(usage: Usage, price: Price | None, calls: int = 1) -> Spent:
    """What calls with these tokens came to."""
    cost = price.of(usage) if price else 0.0
    return Spent(calls, usage.prompt, usage.cached, usage.completion, cost, usage.estimated)


@dataclass(frozen=True, slots=True)
class Tariff:
    """What calls of a run's models may take and cost, by the digest that stands in every call."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    currency: str = "USD"
    thinking: Mapping[str, int] = field(default_factory=dict)
    """Tokens that a model may write as thoughts beside each answer, where its servers allow for any."""
    batched: frozenset[str] = frozenset()
    """Models that are asked by their vendor's batch API."""

    def spent(self, model: str, usage: Usage, calls: int = 1) -> Spent:
        """What a model's calls came to."""
        return spent(usage, self.prices.get(model), calls)

    def ahead(self, model: str, usage: Usage, calls: int = 1) -> Spent:
        """What calls to come will come to: by the batch API where the model is asked by it."""
        return self.spent(model, replace(usage, batched=model in self.batched), calls)

    def money(self, amount: float) -> str:
        """An amount as messages show it: cents, or four digits of less than one."""
        digits = 2 if amount >= 1 else 4
        return f"{amount:,.{digits}f} {self.currency}"


def total(parts: Iterable[Spent]) -> Spent:
    """All together."""
    whole = Spent()
    for part in parts:
        whole = whole.plus(part)
    return whole
