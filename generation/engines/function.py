"""A model that is the caller's own asynchronous function: from messages to a text or a probability.

Where log-probabilities of labels are wanted, a number is the probability of the first label, and a text is read for the label that
it states. What a text states counts as VERDICT, whatever its writer's certainty was: a text does not tell it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from critics.answers import no_violation
from critics.compare import LABELS
from critics.score import YES_NO
from critics.verdict import verdict
from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    ModelError,
    RefusedError,
    Request,
    TransientError,
    guessed_usage,
)

Answer = str | float
AsyncFunction = Callable[[list[dict[str, Any]]], Awaitable[Answer]]
"""Takes messages as dictionaries with `role` and `content`; gives a text, or the probability of the first of two labels."""

PREFIX = "function:"
VERDICT = 0.9
"""Probability of the label that a text states."""
_EDGE = 1e-6

_functions: dict[str, AsyncFunction] = {}


def register(function: AsyncFunction) -> str:
    """The name by which settings name a function: `function:module.name`. Its calls are stored under that name, so a function that
    answers otherwise than before needs another name, or another folder.
    """
    name = f"{PREFIX}{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    _functions[name] = function
    return name


def registered(name: str) -> AsyncFunction:
    """The function of a name. Raises ModelError where nobody gave it."""
    if name not in _functions:
        raise ModelError(f"model {name!r}: no such function was given in this process; pass the function itself")
    return _functions[name]


class FunctionEngine:
    """An engine that asks a function. What the function raises is a failure of that call, and is not stored."""

    def __init__(self, function: AsyncFunction) -> None:
        self._function = function

    async def generate(self, request: Request) -> Completion:
        """The function's answer. Raises RefusedError for what it cannot do, TransientError as the function does."""
        if request.scored:
            raise _refused(ErrorReason.UNSUPPORTED, "a function gives no log-probabilities of a given response")
        try:
            answer = await self._function([message.model_dump(exclude_defaults=True) for message in request.messages])
        except TransientError:
            raise
        except Exception as error:  # whatever the caller's code raises is this call's failure; the run goes on
            raise _refused(ErrorReason.BAD_ANSWER, f"{type(error).__name__}: {error}") from error
        if request.labels:
            text = answer if isinstance(answer, str) else ""
            return Completion(text, logprobs=_logprobs(answer, request), usage=guessed_usage(request, str(answer)))
        if not isinstance(answer, str):
            raise _refused(ErrorReason.BAD_ANSWER, f"got {answer!r:.80}, where a text was asked for")
        return Completion(answer, usage=guessed_usage(request, answer))

    async def close(self) -> None:
        """Nothing to release."""


def _refused(reason: ErrorReason, detail: str) -> RefusedError:
    return RefusedError(CallError(reason, detail))


def _logprobs(answer: Answer, request: Request) -> dict[str, float]:
    """What each label comes to; nothing where the answer states none. Raises RefusedError for a number that is no probability."""
    labels = [label for label, _ in request.labels]
    if isinstance(answer, str):
        stated = _stated(answer, labels)
        others = math.log((1 - VERDICT) / max(1, len(labels) - 1))
        return {label: math.log(VERDICT) if label == stated else others for label in labels} if stated else {}
    if len(labels) != 2 or isinstance(answer, bool) or not 0 <= answer <= 1:
        got = f"got {answer!r:.80}; allowed: a text, or for one of two labels the probability of the first"
        raise _refused(ErrorReason.BAD_ANSWER, got)
    p = min(max(float(answer), _EDGE), 1 - _EDGE)
    return {labels[0]: math.log(p), labels[1]: math.log1p(-p)}


def _stated(text: str, labels: Sequence[str]) -> str:
    """The label that a text is, or for a comparison the one that it argues for; empty where there is none."""
    word = text.strip().strip(".*\"'`").casefold()
    same = [label for label in labels if label.casefold() == word]
    if not same and tuple(labels) == YES_NO:
        said = no_violation(text)
        return "" if said is None else YES_NO[int(said)]
    if same or tuple(labels) != LABELS:
        return same[0] if same else ""
    side = verdict(text)
    return {"first": LABELS[0], "second": LABELS[1]}[side] if side else ""
