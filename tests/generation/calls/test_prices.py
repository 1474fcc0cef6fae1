"""Tokens times prices."""

import pytest
from pydantic import ValidationError

from generation.calls.prices import Price, Spent, Tariff, total
from generation.engines.base import Usage


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (Price(prompt=2, completion=8), Usage(1_000_000, 0, 0), 2.0),
        (Price(prompt=2, completion=8), Usage(1000, 600, 100), (1000 * 2 + 100 * 8) / 1e6),
        (Price(prompt=2, cached=0.5, completion=8), Usage(1000, 600, 100), (400 * 2 + 600 * 0.5 + 100 * 8) / 1e6),
        (Price(prompt=2, cached=0, completion=8), Usage(1000, 1000, 0), 0.0),
        (Price(prompt=0, completion=0), Usage(5, 0, 5), 0.0),
        (Price(prompt=2, completion=8), Usage(1000, 600, 100, batched=True), (1000 * 2 + 100 * 8) / 2e6),
        (Price(prompt=2, completion=8, batch=0.25), Usage(1000, 0, 0, batched=True), 1000 * 2 / 4e6),
        (Price(prompt=2, completion=8, batch=0.25), Usage(1000, 0, 0), 1000 * 2 / 1e6),
    ],
)
def test_what_a_call_costs(price: Price, usage: Usage, cost: float) -> None:
    assert price.of(usage) == pytest.approx(cost)


@pytest.mark.parametrize(
    "bad", [{"prompt": -1, "completion": 1}, {"prompt": 1}, {"prompt": float("inf"), "completion": 1}]
)
def test_what_is_no_price(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate(bad)


def test_sums_and_what_nobody_reported() -> None:
    tariff = Tariff({"m": Price(prompt=1, completion=10)}, "EUR")
    parts = [
        tariff.spent("m", Usage(100, 0, 10)),
        tariff.spent("other", Usage(7, 3, 1)),
        tariff.spent("m", Usage(1, 0, 0, 1)),
    ]
    whole = total(parts)
    assert whole == Spent(3, 108, 3, 11, pytest.approx(0.000201), 1)
    assert whole.tokens == 119
    assert whole.less(parts[1]) == Spent(2, 101, 0, 10, pytest.approx(0.000201), 1)
    assert (tariff.money(0.00021), tariff.money(1234.567)) == ("0.0002 EUR", "1,234.57 EUR")
