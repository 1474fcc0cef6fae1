"""The one fake: answers from a script, a recording, or a hash. For tests, rehearsals and measurements without a model."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from typing import Self

from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    RefusedError,
    Request,
    Usage,
    scored_completion,
)

_WORDS = [
    "a",
    "calm",
    "plain",
    "word",
    "then",
    "some",
    "more",
    "of",
    "it",
    "goes",
    "on",
    "and",
    "on",
    "until",
    "the",
    "reply",
    "is",
    "long",
    "enough",
    "for",
    "now",
]


class Replay:
    """An engine whose answers are given beforehand."""

    def __init__(self, script: Callable[[Request], Completion], latency: float = 0.0) -> None:
        """Answer each request with `script(request)`, after `latency` seconds."""
        self._script = script
        self._latency = latency

    @classmethod
    def recorded(cls, find: Callable[[bytes], Completion | None]) -> Self:
        """Answer from other runs' calls, as `StoredCalls.get` finds them by key; raises RefusedError for an unknown one."""

        def script(request: Request) -> Completion:
            completion = find(request.key())
            if completion is None:
                raise RefusedError(CallError(ErrorReason.NOT_RECORDED, "the recording has no such call"))
            return completion

        return cls(script)

    @classmethod
    def pseudo(cls, latency: float = 0.0) -> Self:
        """A pseudo-model: every answer is a function of the request's key alone, so runs can be compared byte by byte."""
        return cls(pseudo_completion, latency)

    async def generate(self, request: Request) -> Completion:
        """The scripted answer."""
        await asyncio.sleep(self._latency)
        return self._script(request)

    async def close(self) -> None:
        """Nothing to release."""


def pseudo_completion(request: Request) -> Completion:
    """Text of 3 to 30 words; a quarter of critiques find nothing; verdicts with a position bias of 0.5 log-odds.

    Scores are near -2, rewards near 0.
    """
    key = request.key()
    noise = random.Random(key)
    usage = Usage(len(request.tokens) or sum(len(m.content) for m in request.messages) // 4, 0, 1)
    if request.scored:
        return scored_completion((-abs(noise.gauss(2, 0.5)) for _ in range(request.scored)), usage)
    if request.labels:
        labels = [label for label, _ in request.labels]
        return Completion(labels[0], "stop", dict(zip(labels, _label_logprobs(len(labels), noise), strict=True)), usage)
    if request.stage == "critique" and noise.random() < 0.25:
        return Completion("No issues.", usage=usage)
    words = noise.choices(_WORDS, k=noise.randint(3, 30))
    return Completion(" ".join(words).capitalize() + ".", usage=Usage(usage.prompt, 0, len(words)))


def _label_logprobs(count: int, noise: random.Random) -> list[float]:
    """Two labels: a verdict, the first preferred. More: log-probabilities of a distribution. One: a reward."""
    if count == 2:
        first = 1 / (1 + math.exp(-(0.5 + noise.gauss(0, 1))))
        return [math.log(first), math.log1p(-first)]
    logits = [noise.gauss(0, 1) for _ in range(count)]
    total = math.log(sum(map(math.exp, logits))) if count > 1 else 0.0
    return [logit - total for logit in logits]
