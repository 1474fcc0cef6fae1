"""Which responses a step learns from, and how fast: without a model."""

import itertools
from typing import Any

import pytest

from training.ppo.config import PPO
from training.ppo.update import minibatches, rate_factor


def settings(**changes: Any) -> PPO:
    return PPO.model_validate({"reward": {"rules": {"constitution": "x"}}, "prompts": 6, "samples": 4, **changes})


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [0.5, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 2 / 3, 1 / 3]),
        ("cosine", [0.5, 1, 1, 0.75, 0.25]),  # 0.5 (1 + cos(pi i / 3))
    ],
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule: str, factors: list[float]) -> None:
    rates = settings(warmup=0.4, schedule=schedule)
    assert [rate_factor(rates, 5, i) for i in range(5)] == pytest.approx(factors)


def test_without_a_warmup_the_rate_begins_at_its_peak() -> None:
    assert [rate_factor(settings(warmup=0.0, schedule="linear"), 2, i) for i in range(2)] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(12, [3, 3]), (8, [2, 2, 2]), (24, [6]), (100, [6]), (9, [2, 2, 2]), (4, [1] * 6)]
)
def test_each_pass_sees_every_prompt_once_in_whole_prompts(batch_size: int, sizes: list[int]) -> None:
    parts = list(minibatches(settings(batch_size=batch_size, passes=2), range(6), 3))
    assert [len(part) for part in parts] == sizes * 2
    for turn in (parts[: len(sizes)], parts[len(sizes) :]):
        assert sorted(itertools.chain(*turn)) == [0, 1, 2, 3, 4, 5]


def test_the_order_is_drawn_anew_for_each_pass_iteration_and_seed() -> None:
    def order(seed: int, iteration: int) -> list[list[int]]:
        return list(minibatches(settings(batch_size=4, passes=2, seed=seed), range(6), iteration))

    first = order(0, 0)
    assert order(0, 0) == first
    assert len({str(part) for part in (first[:6], first[6:], order(0, 1)[:6], order(1, 0)[:6])}) == 4


def test_processes_share_the_minibatches_of_one() -> None:
    whole = list(minibatches(settings(batch_size=8), range(6), 0))
    even, odd = (list(minibatches(settings(batch_size=8), range(rank, 6, 2), 0)) for rank in (0, 1))
    shared = [sorted([2 * i for i in a] + [2 * i + 1 for i in b]) for a, b in zip(even, odd, strict=True)]
    assert shared == whole
