"""The one protocol behind which every model stands, and what goes in and comes out.

Wrappers have the same shape as engines and are stacked at the composition root:
`Stored(Limited(VLLM(...)))` for one machine, `Stored(Pool([Endpoint(...), ...]))` for many.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, Protocol

from constitution.records import Message, Stage

SCHEMA = 1
"""Part of every call's key: raise it when the meaning of a stored completion changes."""

Finish = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampling parameters that change the text."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """None when temperature is 0: greedy text does not depend on it, and equal requests are then one call."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One call: a prompt for one model, whole."""

    model: str
    """Digest of weights, tokenizer and chat template."""
    stage: Stage
    """For progress and plans; not part of the key."""
    tokens: tuple[int, ...]
    """The final prompt, as token ids; empty only for a server that takes messages and nothing else."""
    sampling: Sampling
    labels: tuple[tuple[str, int], ...] = ()
    """Verdict labels and their token ids, whose log-probabilities are wanted at the first generated position."""
    index: int = 0
    """Which of several samples of the same prompt this is."""
    scored: int = 0
    """How many of the last prompt tokens the log-probabilities are wanted of; `contrast` asks for those of a whole reply."""
    messages: tuple[Message, ...] = ()
    """The same prompt as messages; part of the key only where tokens is empty."""
    tools: str = ""
    """Tool descriptions as JSON, for servers that take messages."""

    @property
    def size(self) -> int:
        """Tokens that the model's context must hold; scoring makes one that nobody reads."""
        return len(self.tokens) + (1 if self.scored else self.sampling.max_tokens)

    def key(self) -> bytes:
        """16 bytes that name this call: blake2b over canonical JSON of all that decides its answer."""
        s = self.sampling
        prompt: object = self.tokens or [[m.model_dump(mode="json") for m in self.messages], self.tools]
        parts = [
            SCHEMA,
            self.model,
            prompt,
            s.max_tokens,
            s.temperature,
            s.top_p,
            s.seed,
            s.stop,
            self.labels,
            self.index,
            *([self.scored] if self.scored else []),
        ]
        return blake2b(json.dumps(parts, separators=(",", ":")).encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    prompt: int = 0
    cached: int = 0
    """Prompt tokens served from the prefix cache."""
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered, raw: parsing happens later, so that a better parser costs no calls."""

    text: str
    finish: Finish = "stop"
    """`length` when max_tokens cut it; `error` when the call can never succeed, with the reason in `error`."""
    logprobs: dict[str, float] = field(default_factory=dict)
    """Label -> natural log-probability at the first generated position. May be missing or NaN: readers check."""
    usage: Usage = Usage()
    error: str = ""
    """A terminal error: `reason: detail`. Such completions are stored, once."""
    scores: tuple[float, ...] = ()
    """Natural log-probabilities of the request's scored tokens, each given all before it; NaN where one is missing."""


def unfit(request: Request, context: int) -> Completion | None:
    """The terminal error of a request that a model with this context cannot answer; None for others."""
    if request.size > context:
        return Completion("", "error", error=f"prompt_too_long: {request.size} tokens > context of {context}")
    if request.scored and not 0 < request.scored < len(request.tokens):
        allowed = f"allowed: 1 to {len(request.tokens) - 1} of {len(request.tokens)} prompt tokens"
        return Completion("", "error", error=f"bad_request: scored is {request.scored}; {allowed}")
    return None


def scored_completion(values: Iterable[float | None], usage: Usage) -> Completion:
    """The answer to a request for scores, in 6 significant digits, which is beyond what any model's numbers are exact to."""
    return Completion("", scores=tuple(math.nan if v is None else float(f"{v:.6g}") for v in values), usage=usage)


class Engine(Protocol):
    """Anything that answers requests."""

    async def generate(self, request: Request) -> Completion:
        """Answer one request.

        A request that can never succeed returns a Completion with finish == "error".
        Raises TransientError when the same request might succeed later; that is never stored.
        """
        ...

    async def close(self) -> None:
        """Release the model, sockets and files. Safe to call twice."""
        ...


class TransientError(Exception):
    """The call failed for a reason that may pass (timeout, reset, overload); the run is incomplete, nothing is stored."""


class ModelError(Exception):
    """A model, its tokenizer or its server cannot be used; raised before any work starts. The message says what to do."""
