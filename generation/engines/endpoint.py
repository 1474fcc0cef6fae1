"""Models behind HTTP: any OpenAI-compatible server, and pools of them.

A vLLM server is sent token ids, so that our encoding is the one that counts and label log-probabilities are exact; start it
with `--enable-scale-out --enable-prompt-tokens-details`, which opens `/inference/v1/generate`. Any other server is sent
messages (`/v1/chat/completions`) and renders its own template.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Any

import httpx
from pydantic import Field, field_validator
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from constitution.records import Message, Strict
from generation.engines.base import Completion, Engine, ModelError, Request, TransientError, Usage, scored_completion

_RETRIED = frozenset({408, 409, 425, 429})
"""Retried beside every 5xx."""
_MAX_BYTES = 32 << 20
TOP_LOGPROBS = 20
"""Most alternatives that chat servers report; a label that is not among them is missing."""

_NO_SCORES = (
    "a server of messages gives no log-probabilities of a given reply; use a vLLM server with token_ids: true, "
    "or leave contrast out of the methods"
)


class EndpointSettings(Strict):
    """One server."""

    url: str
    """Its base, as in http://localhost:8000; `/v1` is added."""
    model: str = ""
    """The name it serves the model under; the run's model name where empty."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key. The key itself is never written down."""
    token_ids: bool = False
    """True for a vLLM server (with --enable-scale-out): it is sent token ids and gives exact label log-probabilities."""
    concurrency: int = Field(default=64, ge=1)
    attempts: int = Field(default=6, ge=1)
    timeout_seconds: float = Field(default=600.0, gt=0)
    backoff_seconds: float = Field(default=1.0, gt=0)
    """First wait; it doubles each time, with full jitter, up to max_wait_seconds."""
    max_wait_seconds: float = Field(default=60.0, gt=0)
    """Longest wait between two tries, a Retry-After included."""

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("allowed: http:// and https:// addresses, as in http://localhost:8000")
        return value.rstrip("/").removesuffix("/v1")


class _Again(TransientError):
    """Worth another try, after `wait` seconds where the server named them."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Endpoint:
    """One server, with back-off, bounded concurrency and the key kept out of sight."""

    def __init__(self, settings: EndpointSettings, model: str = "") -> None:
        """Raises ModelError when the key's environment variable is not set."""
        self._settings = settings
        self._model = settings.model or model
        headers = {}
        if settings.api_key_env:
            key = os.environ.get(settings.api_key_env, "")
            if not key:
                raise ModelError(
                    f"endpoint {settings.url}: environment variable {settings.api_key_env} is not set; export the key there"
                )
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=settings.url,
            headers=headers,
            timeout=httpx.Timeout(settings.timeout_seconds, connect=min(30.0, settings.timeout_seconds)),
            limits=httpx.Limits(max_connections=settings.concurrency),
            trust_env=False,
        )
        self._slots = asyncio.Semaphore(settings.concurrency)

    def __repr__(self) -> str:
        return f"Endpoint({self._settings.url!r}, {self._model!r})"

    async def generate(self, request: Request) -> Completion:
        """The server's answer. Raises TransientError when it stays unavailable, ModelError when the key is refused."""
        s = self._settings
        if request.scored and not s.token_ids:
            return Completion("", "error", error=f"unsupported: endpoint {s.url}: {_NO_SCORES}")
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again), stop=stop_after_attempt(s.attempts), wait=self._wait, reraise=True
        )
        async with self._slots:
            return await retrying(self._once, request)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _wait(self, state: RetryCallState) -> float:
        s = self._settings
        error = state.outcome.exception() if state.outcome else None
        jittered = wait_random_exponential(multiplier=s.backoff_seconds, max=s.max_wait_seconds)(state)
        named = error.wait if isinstance(error, _Again) else None
        return min(s.max_wait_seconds, max(named, jittered / 10)) if named is not None else jittered

    async def _once(self, request: Request) -> Completion:
        by_tokens = self._settings.token_ids
        path = "/inference/v1/generate" if by_tokens else "/v1/chat/completions"
        body = (_token_body if by_tokens else _chat_body)(request, self._model)
        try:
            async with self._client.stream("POST", path, json=body) as response:
                content = await _read(response)
        except (httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError, httpx.DecodingError) as error:
            raise _Again(f"endpoint {self._settings.url}: {type(error).__name__}") from None
        if response.status_code != 200:
            return self._refused(response, content)
        try:
            return (_from_tokens if by_tokens else _from_chat)(json.loads(content), request)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise _Again(f"endpoint {self._settings.url}: the answer is no completion ({content[:200]!r})") from None

    def _refused(self, response: httpx.Response, content: bytes) -> Completion:
        """An error status as a terminal completion, or the exception it stands for."""
        status = response.status_code
        place = f"endpoint {self._settings.url}: status {status}"
        if status in _RETRIED or status >= 500:
            raise _Again(place, _retry_after(response.headers.get("Retry-After")))
        said = " ".join(content.decode("utf-8", "replace").split())[:300]
        if status in (401, 403):
            variable = self._settings.api_key_env or "(none: api_key_env is not set)"
            raise ModelError(f"{place}: {said}; check the key in variable {variable}")
        long = "context length" in said or "max_model_len" in said or "maximum context" in said
        return Completion("", "error", error=f"{'prompt_too_long' if long else 'bad_request'}: {place}: {said}")


async def _read(response: httpx.Response) -> bytes:
    chunks = bytearray()
    async for chunk in response.aiter_bytes():
        chunks += chunk
        if len(chunks) > _MAX_BYTES:
            raise _Again(f"the answer is over {_MAX_BYTES:,} bytes")
    return bytes(chunks)


def _retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _decoding(request: Request) -> dict[str, Any]:
    s = request.sampling
    named = {
        "max_tokens": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "seed": s.seed,
        "stop": list(s.stop) or None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _token_body(request: Request, model: str) -> dict[str, Any]:
    sampling = _decoding(request)
    if request.scored:
        sampling = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
    if request.labels:
        ids = [token for _, token in request.labels]
        # The server cuts its list to the number asked for after putting the sampled token first: one more makes room for it.
        ids.append(ids[-1])
        sampling |= {"logprob_token_ids": ids, "logprobs": len(ids)}
    mode = "tokens" if request.labels or request.scored else "text"
    return {"model": model, "token_ids": list(request.tokens), "sampling_params": sampling, "output_mode": mode}


def _from_tokens(answer: Mapping[str, Any], request: Request) -> Completion:
    if request.scored:
        return scored_completion(_prompt_logprobs(answer, request), replace(_usage(answer), completion=0))
    choice = answer["choices"][0]
    if not request.labels:
        return Completion(choice["text"], _finish(choice), usage=_usage(answer))
    listed = {entry["token_id"]: float(entry["logprob"]) for entry in choice["logprobs"]["content"][0]["top_logprobs"]}
    logprobs = {label: listed[token] for label, token in request.labels if token in listed}
    said = next((label for label, token in request.labels if [token] == choice["token_ids"]), "")
    return Completion(said, _finish(choice), logprobs, _usage(answer))


def _prompt_logprobs(answer: Mapping[str, Any], request: Request) -> list[float | None]:
    """Of the scored tokens, None where the server lists none. It lists the prompt's tokens in order, the first as null."""
    listed = [None] * request.scored + (answer.get("prompt_logprobs") or [])
    pairs = zip(request.tokens[-request.scored :], listed[-request.scored :], strict=True)
    return [((entry or {}).get(str(token)) or {}).get("logprob") for token, entry in pairs]


def _chat_body(request: Request, model: str) -> dict[str, Any]:
    body = {"model": model, **_decoding(request), "messages": [_openai(message) for message in request.messages]}
    if request.tools:
        body["tools"] = json.loads(request.tools)
    if request.labels:
        body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    return body


def _from_chat(answer: Mapping[str, Any], request: Request) -> Completion:
    choice = answer["choices"][0]
    message = choice["message"]
    calls = [
        f"<tool_call>{json.dumps({'name': c['function']['name'], 'arguments': json.loads(c['function']['arguments'])})}</tool_call>"
        for c in message.get("tool_calls") or ()
    ]
    logprobs = {}
    if request.labels and choice.get("logprobs"):
        listed = {entry["token"]: float(entry["logprob"]) for entry in choice["logprobs"]["content"][0]["top_logprobs"]}
        logprobs = {label: listed[label] for label, _ in request.labels if label in listed}
    return Completion(
        "\n".join([message.get("content") or "", *calls]).strip(), _finish(choice), logprobs, _usage(answer)
    )


def _openai(message: Message) -> dict[str, Any]:
    fields = {"content": "", **message.model_dump(mode="json", exclude_defaults=True)}
    for call in fields.get("tool_calls", ()):
        call["type"] = "function"
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return fields


def _finish(choice: Mapping[str, Any]) -> Any:
    return "length" if choice.get("finish_reason") == "length" else "stop"


def _usage(answer: Mapping[str, Any]) -> Usage:
    usage = answer.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Usage(int(usage.get("prompt_tokens", 0)), int(cached), int(usage.get("completion_tokens", 0)))


@dataclass(slots=True)
class _Member:
    engine: Engine
    load: int = 0
    away_until: float = 0.0


class Pool:
    """Several engines as one: calls that share a prefix go to the same one while its load allows."""

    def __init__(self, engines: Sequence[Engine], slack: int = 8, cooldown_seconds: float = 30.0) -> None:
        """A member may carry `slack` calls more than the least loaded one before affinity gives way.

        A member that raises TransientError is left alone for the cool-down.
        """
        self._members = [_Member(engine) for engine in engines]
        self._slack = slack
        self._cooldown = cooldown_seconds

    async def generate(self, request: Request) -> Completion:
        """The first answer to be had. Raises TransientError when every member is unavailable."""
        tried: set[int] = set()
        while True:
            member = self._pick(request, tried)
            member.load += 1
            try:
                return await member.engine.generate(request)
            except TransientError:
                member.away_until = time.monotonic() + self._cooldown
                tried.add(id(member))
                if len(tried) == len(self._members):
                    raise
            finally:
                member.load -= 1

    async def close(self) -> None:
        """Close every member."""
        await asyncio.gather(*(member.engine.close() for member in self._members))

    def _pick(self, request: Request, tried: set[int]) -> _Member:
        now = time.monotonic()
        untried = [m for m in self._members if id(m) not in tried]
        present = [m for m in untried if m.away_until <= now] or untried
        least = min(m.load for m in present)
        prefix = json.dumps(request.tokens[:128] or [m.model_dump(mode="json") for m in request.messages[:1]])

        def affinity(member: _Member) -> bytes:
            return blake2b(f"{self._members.index(member)}:{prefix}".encode(), digest_size=8).digest()

        return max((m for m in present if m.load <= least + self._slack), key=affinity)
