"""A caller's own function as a model: words, probabilities, and what it cannot do."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from constitution.records import Message
from generation.engines.base import (
    Completion,
    ErrorReason,
    ModelError,
    RefusedError,
    Request,
    Sampling,
    TransientError,
    Usage,
)
from generation.engines.function import VERDICT, Answer, FunctionEngine, register, registered

AB, GRADES = (("A", -1), ("B", -1)), tuple((str(n), -1) for n in range(1, 6))


def asked(answer: Answer | Exception, labels: tuple[tuple[str, int], ...] = (), scored: int = 0) -> Completion:
    async def function(messages: list[dict[str, Any]]) -> Answer:
        assert messages == [{"role": "user", "content": "Which?"}]
        if isinstance(answer, Exception):
            raise answer
        return answer

    request = Request(
        "m", "compare", (), Sampling(1), labels, scored=scored, messages=(Message(role="user", content="Which?"),)
    )
    return asyncio.run(FunctionEngine(function).generate(request))


def test_a_text_is_the_completion() -> None:
    assert asked("Boil it.") == Completion("Boil it.", usage=Usage(10, 0, 3, 13))  # nobody counts them


@pytest.mark.parametrize(
    ("p", "log_odds"), [(0.5, 0.0), (0.8, math.log(4)), (0, -math.log(1e6 - 1)), (1.0, math.log(1e6 - 1))]
)
def test_a_number_is_the_probability_of_the_first_label(p: float, log_odds: float) -> None:
    found = asked(p, AB).logprobs
    assert found["A"] - found["B"] == pytest.approx(log_odds, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("A", "A"),
        (" b. ", "B"),
        ("Response A is longer, but response B is better.", "B"),
        ("[[A]]", "A"),
        ("Both are fine.", ""),
    ],
)
def test_words_state_a_label(text: str, stated: str) -> None:
    found = asked(text, AB).logprobs
    assert max(found, key=lambda label: found[label], default="") == stated
    assert found.get(stated, math.log(VERDICT)) == math.log(VERDICT)


@pytest.mark.parametrize(("text", "grade"), [("4", "4"), ("4.", "4"), ("Four, I think", "")])
def test_a_grade_stands_alone(text: str, grade: str) -> None:
    found = asked(text, GRADES).logprobs
    assert max(found, key=lambda label: found[label], default="") == grade
    assert not found or sum(map(math.exp, found.values())) == pytest.approx(1)


@pytest.mark.parametrize(
    ("answer", "labels", "scored", "reason"),
    [
        (1.5, AB, 0, ErrorReason.BAD_ANSWER),
        (math.nan, AB, 0, ErrorReason.BAD_ANSWER),
        (True, AB, 0, ErrorReason.BAD_ANSWER),
        (0.5, GRADES, 0, ErrorReason.BAD_ANSWER),
        (0.5, (), 0, ErrorReason.BAD_ANSWER),
        (KeyError("choices"), AB, 0, ErrorReason.BAD_ANSWER),
        ("A", (), 2, ErrorReason.UNSUPPORTED),
    ],
)
def test_what_cannot_be_used_is_refused(
    answer: Answer | Exception, labels: tuple[tuple[str, int], ...], scored: int, reason: ErrorReason
) -> None:
    with pytest.raises(RefusedError) as refused:
        asked(answer, labels, scored)
    assert refused.value.error.reason == reason


def test_what_may_pass_is_passed_on() -> None:
    with pytest.raises(TransientError, match="overloaded"):
        asked(TransientError("overloaded"), AB)


async def answer(messages: list[dict[str, Any]]) -> Answer:
    return "A"


def test_a_function_is_known_by_its_name() -> None:
    name = register(answer)
    assert name == f"function:{__name__}.answer"
    assert registered(name) is answer
    with pytest.raises(ModelError, match="no such function was given in this process"):
        registered("function:elsewhere.judge")
