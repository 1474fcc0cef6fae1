"""The one protocol behind which every model stands, and what goes in and comes out.

Wrappers have the same shape as engines and are stacked at the composition root:
`Stored(Limited(VLLM(...)))` for one machine, `Stored(Pool([Endpoint(...), ...]))` for many.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from constitution.digest import hasher
from constitution.errors import Problem, SolonError, Unavailable, UserError
from constitution.records import Message, Stage
from critics.transcript import shared_head

SCHEMA = 1
"""Part of every call's key: raise it when the meaning of a stored completion changes, or how messages are encoded."""

LEAST_LOGPROB = -1000.0
"""Servers write -9999 or -inf for a token whose log-probability they do not know; a real one is never as low."""

CHARACTERS_PER_TOKEN = 3
"""For prompts whose tokens only their server counts: ordinary English has four, so this is more than there will be."""
PER_MESSAGE = 8
"""Tokens that a chat template writes around a message."""

Finish = Literal["stop", "length"]


class ErrorReason(StrEnum):
    """Why a call has no answer. `of_request` tells which of them are facts about the request itself."""

    PROMPT_TOO_LONG = "prompt_too_long"
    """Prompt and completion do not fit the model's context."""
    CONTENT_REFUSED = "content_refused"
    """The model's provider refuses to answer this content."""
    BAD_REQUEST = "bad_request"
    """No model of this kind can answer it: token ids it does not have, more scored tokens than there are."""
    BAD_CHAT = "bad_chat"
    """The messages do not fit the model's chat template."""
    SERVER_REFUSED = "server_refused"
    """A server refused it for a reason that may lie in the server, such as a parameter that it does not know."""
    BAD_ANSWER = "bad_answer"
    """A server answered, and what it sent is no completion, in every attempt."""
    UNSUPPORTED = "unsupported"
    """The engine gives no answers of this kind, such as log-probabilities."""
    NOT_RECORDED = "not_recorded"
    """A recording has no such call."""
    UNAVAILABLE = "unavailable"
    """The engine could not be reached now; the same call may succeed later."""

    @property
    def of_request(self) -> bool:
        """True for what stays true whoever answers and whenever. Nothing else may be stored."""
        return self in _OF_REQUEST


_OF_REQUEST = frozenset(
    {ErrorReason.PROMPT_TOO_LONG, ErrorReason.CONTENT_REFUSED, ErrorReason.BAD_REQUEST, ErrorReason.BAD_CHAT}
)


class CallError(NamedTuple):
    """Why a call has no answer."""

    reason: ErrorReason
    detail: str
    """For people; no code reads it."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampling parameters that change the text."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """None when temperature is 0: greedy text does not depend on it, and equal requests are then one call."""
    stop: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
    """Tokens that end the answer, beside those at which the checkpoint's own files say so."""


class Subject(NamedTuple):
    """What a call is about."""

    prompt: str = ""
    """Id of the prompt."""
    responses: tuple[str, ...] = ()
    """Ids of the response that is written or criticised, or of those that are judged, in the order shown."""
    voter: str = ""
    """Who judges: judge, method and principle; of a critique, the principle."""


NOBODY = Subject()

LastMessage = Literal["question", "response", "ended_response"]
"""What the last message of a request is: what an answer is asked to, or itself a response that is graded, without or with the end
of its turn."""


class Encoded(NamedTuple):
    """Messages as a model reads them."""

    tokens: tuple[int, ...]
    scored: int = 0
    """How many of the last tokens are scored."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call: a prompt for one model, whole."""

    model: str
    """Digest of weights, tokenizer and chat template."""
    stage: Stage
    """For progress and plans; not part of the key."""
    tokens: tuple[int, ...]
    """The final prompt, as token ids, once it is encoded; a server that takes messages and nothing else has none."""
    sampling: Sampling
    labels: tuple[tuple[str, int], ...] = ()
    """Verdict labels and their token ids, whose log-probabilities are wanted at the first generated position."""
    index: int = 0
    """Which of several samples of the same prompt this is."""
    scored: int = 0
    """How many of the last prompt tokens the log-probabilities are wanted of; `contrast` asks for those of a whole response. Known
    once it is encoded, as the tokens are."""
    messages: tuple[Message, ...] = ()
    """The same prompt as messages, which the key is made of."""
    tools: str = ""
    """Tool descriptions as JSON, for servers that take messages."""
    numerics: str = ""
    """How the model's numbers are made where that is not the engines' own way, which is the checkpoint's type with logits in
    float32: another type, or `server` where a server computes them, whose logits may be rounded. Part of the key where set."""
    schema: str = ""
    """JSON schema that the answer should follow. Engines without structured output ignore it. Part of the key where set."""
    template_kwargs: str = ""
    """What the chat template is told of this prompt alone, as JSON; servers of messages are sent it. Part of the key where set."""
    subject: Subject = NOBODY
    """For people who look at calls; not part of the key."""
    last: LastMessage = "question"
    """What the last message is to the model. Part of the key."""
    rendering: str = ""
    """Digest of what makes token ids of messages, beside what is in the model's digest. Part of the key where set."""
    encode: Callable[[], Encoded] | None = field(default=None, compare=False, repr=False)
    """Makes the token ids, of a call that is really made; None where nobody knows them, or they are there. Raises RefusedError."""

    def encoded(self) -> Request:
        """The same request with its token ids, as engines take it. Raises RefusedError for a chat that cannot be asked."""
        if self.encode is None:
            return self
        tokens, scored = self.encode()
        return replace(self, tokens=tokens, scored=scored, encode=None)

    @property
    def size(self) -> int:
        """Tokens that the model's context must hold; scoring makes one that nobody reads."""
        return len(self.tokens) + self.most_written

    @property
    def prompt_size(self) -> int:
        """Tokens of the prompt: as they are, or else a guess from its characters, more than there will be."""
        if self.tokens:
            return len(self.tokens)
        return self.characters // CHARACTERS_PER_TOKEN + PER_MESSAGE * len(self.messages)

    @property
    def characters(self) -> int:
        """Of its messages, and of the tools."""
        return len(self.tools) + sum(len(message.content) for message in self.messages)

    @property
    def most_written(self) -> int:
        """The most tokens that the answer may have, beside thoughts that a server allows for."""
        return 1 if self.scored else self.sampling.max_tokens

    def key(self) -> bytes:
        """16 bytes that name this call: blake2b over canonical JSON of all that decides its answer.

        It is the same before and after the messages are encoded. A prompt without messages is known by its tokens.
        """
        s = self.sampling
        prompt: list[object] = [*self.tokens]
        head = ""
        if self.messages:
            messages = [m.model_dump(mode="json") for m in self.messages]
            if cut := shared_head(self.messages):
                content = messages[0]["content"]
                head, messages[0]["content"] = content[:cut], content[cut:]
            prompt = [messages, self.tools]
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
            *([self.scored] if self.scored and not self.messages else []),
            *([{"ends": s.ends}] if s.ends else []),
            *([{"last": self.last}] if self.last != "question" else []),
            *([{"rendering": self.rendering}] if self.rendering else []),
            *([self.numerics] if self.numerics else []),
            *([{"schema": self.schema}] if self.schema else []),
            *([{"template_kwargs": self.template_kwargs}] if self.template_kwargs else []),
        ]
        text = json.dumps(parts, separators=(",", ":"))
        # within JSON's strings quotes are escaped, so this is where the first message's text begins
        before, mark, after = text.partition('"content":"') if head else ("", "", text)
        named = _begun(before + mark, head).copy()
        named.update(after.encode())
        return named.digest()


@lru_cache(maxsize=64)
def _begun(opening: str, head: str) -> blake2b:
    """A digest of what questions about the same responses begin with, as canonical JSON: the rest goes into copies."""
    begun = hasher()
    begun.update(f"{opening}{json.dumps(head)[1:-1]}".encode())
    return begun


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    prompt: int = 0
    cached: int = 0
    """Prompt tokens served from the prefix cache."""
    completion: int = 0
    estimated: int = 0
    """Of prompt and completion, tokens that nobody reported: guessed, rather too many than too few."""
    batched: bool = False
    """Asked by a vendor's batch API, which has a price of its own."""

    @property
    def reported(self) -> bool:
        """True where any tokens are known, or guessed."""
        return bool(self.prompt or self.completion)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered, raw: parsing happens later, so that a better parser costs no calls."""

    text: str
    finish: Finish = "stop"
    """`length` when max_tokens cut it."""
    logprobs: dict[str, float] = field(default_factory=dict)
    """Label -> natural log-probability at the first generated position; a label is left out where it is not known."""
    usage: Usage = Usage()
    error: CallError | None = None
    """Why there is no answer. An engine returns only errors `of_request`, which are stored, and raises the others."""
    scores: tuple[float, ...] = ()
    """Natural log-probabilities of the request's scored tokens, each given all before it; NaN where one is missing."""
    floor: float | None = None
    """The most, in nats, that a wanted label can have which is not in `logprobs`; None where nothing is known of it."""


def guessed_usage(request: Request, text: str) -> Usage:
    """The tokens of an answer that came without a count, from its characters."""
    prompt, written = request.prompt_size, -(-len(text) // CHARACTERS_PER_TOKEN)
    return Usage(prompt, 0, written, prompt + written)


def failed(reason: ErrorReason, detail: str) -> Completion:
    """The completion of a call that has no answer."""
    return Completion("", error=CallError(reason, detail))


def validate_request(request: Request, context: int) -> Completion | None:
    """The error of a request that no model with this context (in tokens) can answer; None for others."""
    if request.size > context:
        return failed(ErrorReason.PROMPT_TOO_LONG, f"{request.size} tokens > context of {context}")
    if request.scored and not 0 < request.scored < len(request.tokens):
        allowed = f"allowed: 1 to {len(request.tokens) - 1} of {len(request.tokens)} prompt tokens"
        return failed(ErrorReason.BAD_REQUEST, f"scored is {request.scored}; {allowed}")
    return None


def known_logprob(value: object) -> float | None:
    """A log-probability, in nats; None for what is none: missing, no number, NaN, a placeholder, above 0.

    Rounding can leave a certain token a little above 0, which is then 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(float(value), 0.0) if LEAST_LOGPROB < value < _ROUNDING else None


_ROUNDING = 1e-3


def scored_completion(values: Iterable[object], usage: Usage) -> Completion:
    """The answer to a request for scores, in 6 significant digits, which is beyond what any model's numbers are exact to."""
    known = map(known_logprob, values)
    return Completion("", scores=tuple(math.nan if v is None else float(f"{v:.6g}") for v in known), usage=usage)


class Engine(Protocol):
    """Anything that answers requests."""

    async def generate(self, request: Request) -> Completion:
        """Answer one request.

        A request that can never succeed returns a Completion with an error `of_request`.
        Raises TransientError when the same request might succeed later, RefusedError when this engine does not answer it
        though another might, ModelError when it answers nothing at all. None of these is ever stored.
        """
        ...

    async def close(self) -> None:
        """Release the model, sockets and files. Safe to call twice."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """An engine that encodes requests itself where it must, since it knows many by their messages. Others are given tokens."""

    encodes: Literal[True]


@runtime_checkable
class Keeps(Protocol):
    """An engine that has something to keep between a run and the one that resumes it."""

    def keep_in(self, folder: Path) -> None:
        """Keep it in this folder, and go on from what lies there. Called before any request."""
        ...


class Unkept(StrEnum):
    """Why the answer to a call that was paid is not kept."""

    PROBE = "probe"
    """It was asked before the run, to learn what a server takes and gives."""
    UNUSABLE = "unusable"
    """It is no completion: cut, malformed, or an error of the server within the answer."""
    LOST = "lost"
    """The request was sent, and no whole answer came."""


class Meter(Protocol):
    """Counts what is paid beside the answers that an engine returns."""

    def before_probe(self, request: Request) -> None:
        """Raises Unavailable where there is no room for it within the limits."""
        ...

    def paid(self, request: Request, usage: Usage, why: Unkept) -> None:
        """A call was paid whose answer is not returned. Raises Unavailable where there is no room to make it again."""
        ...


@runtime_checkable
class Paid(Protocol):
    """An engine that may pay for answers that it does not return."""

    def count_with(self, meter: Meter) -> None:
        """Tell the meter. Called before any request."""
        ...


class TransientError(Unavailable):
    """The call failed for a reason that may pass (timeout, reset, overload); the run is incomplete, nothing is stored."""


class RefusedError(SolonError):
    """The engine does not answer this request, for a reason that is not known to be the request's own; nothing is stored."""

    def __init__(self, error: CallError) -> None:
        super().__init__(str(error))
        self.error = error


class ModelError(UserError):
    """A model, its tokenizer or its server cannot be used; raised before any work starts. The message says what to do."""

    def __init__(self, what: str | Problem | Iterable[Problem]) -> None:
        super().__init__(Problem("", got=what) if isinstance(what, str) else what)
