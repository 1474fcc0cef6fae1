"""Models behind HTTP: any OpenAI-compatible server.

A vLLM server is sent token ids, so that our encoding is the one that counts and label log-probabilities are exact; start it
with `--enable-scale-out --enable-prompt-tokens-details --hf-overrides '{"head_dtype": "float32"}'`, which opens
`/inference/v1/generate` and keeps logits from being rounded to bfloat16. Any other server is sent messages
(`/v1/chat/completions`) and renders its own template.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from email.utils import parsedate_to_datetime

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    ModelError,
    RefusedError,
    Request,
    TransientError,
)
from generation.servers.answers import NoCompletion, read_completion
from generation.servers.bodies import request_body
from generation.servers.refusals import ServerFault, read_refusal
from generation.servers.settings import EndpointSettings

_RETRIED = frozenset({0, 408, 409, 425, 429})
"""Retried beside every 5xx; 0 is an error of unknown kind inside an answer."""
_OF_REQUEST = frozenset({400, 403, 413, 422, 451})
"""Statuses that can be about one request alone. Others speak of the server's address, its key or its account."""
FIRST_REFUSALS = 5
"""So many requests of one kind refused, before any was answered, are a setting that is wrong and not the prompts."""
_MAX_BYTES = 32 << 20

_NO_SCORES = (
    "a server of messages gives no log-probabilities of a given response; use a vLLM server with token_ids: true, "
    "or leave contrast out of the methods"
)


class _Again(TransientError):
    """Worth another try, after `wait` seconds where the server named them."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class _BadAnswer(_Again):
    """The server answered, and what it sent is no completion: where no try gives one, that is a failure of this request."""


_Kind = tuple[bool, bool, bool]
"""Of a request: with labels, with tools, with a seed. Servers refuse parameters, and each kind sends others."""


class Endpoint:
    """One server, with back-off, bounded concurrency and the key kept out of sight."""

    def __init__(self, settings: EndpointSettings, model: str = "") -> None:
        """Raises ModelError when the key's environment variable is not set."""
        self._settings = settings
        self._model = settings.model or model
        self._key = ""
        headers = {}
        if settings.api_key_env:
            self._key = os.environ.get(settings.api_key_env, "")
            if not self._key:
                raise ModelError(
                    f"endpoint {settings.url}: environment variable {settings.api_key_env} is not set; export the key there"
                )
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx.AsyncClient(
            base_url=settings.url,
            headers=headers,
            timeout=httpx.Timeout(settings.timeout_seconds, connect=min(30.0, settings.timeout_seconds)),
            limits=httpx.Limits(max_connections=settings.concurrency),
            trust_env=False,
        )
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._answered: set[_Kind] = set()
        self._refusals: dict[_Kind, int] = defaultdict(int)

    def __repr__(self) -> str:
        return f"Endpoint({self._settings.url!r}, {self._model!r})"

    async def generate(self, request: Request) -> Completion:
        """The server's answer.

        Raises TransientError when it stays unavailable, RefusedError when it does not answer this request, and ModelError when
        its key, its address or a setting is wrong: it has refused every call so far.
        """
        s = self._settings
        if request.scored and not s.token_ids:
            raise RefusedError(CallError(ErrorReason.UNSUPPORTED, f"endpoint {s.url}: {_NO_SCORES}"))
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again), stop=stop_after_attempt(s.attempts), wait=self._wait, reraise=True
        )
        async with self._slots:
            try:
                return await retrying(self._once, request)
            except _BadAnswer as error:
                raise RefusedError(CallError(ErrorReason.BAD_ANSWER, str(error))) from None

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
        place = f"endpoint {self._settings.url}"
        path, body = request_body(request, self._model, self._settings.token_ids)
        try:
            async with self._client.stream("POST", path, json=body) as response:
                content = await _read(response)
        except (httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError, httpx.DecodingError) as error:
            raise _Again(f"{place}: {type(error).__name__}") from None
        if self._key:  # servers repeat it in their errors, and what they say is kept and published
            content = content.replace(self._key.encode(), b"[key]")
        try:
            if response.status_code == 200:
                read = read_completion(content, request, self._settings.token_ids)
            else:
                read = read_refusal(response.status_code, content.decode("utf-8", "replace"))
        except NoCompletion as error:
            raise _BadAnswer(f"{place}: {error}") from None
        if isinstance(read, ServerFault):
            raise self._refused(read, request, _retry_after(response.headers.get("Retry-After")))
        if read.error is None:
            self._answered.add(_kind(request))
        return read

    def _refused(self, fault: ServerFault, request: Request, wait: float | None) -> Exception:
        """What a server's fault means for the request and for the run. None of it is an answer, so nothing is stored."""
        place = f"endpoint {self._settings.url}: status {fault.status}"
        if fault.status in _RETRIED or fault.status >= 500:
            return _Again(f"{place}: {fault.words}", wait)
        variable = self._settings.api_key_env or "(none: api_key_env is not set)"
        if fault.status == 401:
            return ModelError(f"{place}: {fault.words}; check the key in variable {variable}")
        if fault.status in _OF_REQUEST:
            kind = _kind(request)
            self._refusals[kind] += 1
            if kind not in self._answered and self._refusals[kind] >= FIRST_REFUSALS:
                return ModelError(
                    f"{place}: {fault.words}; it refused the first {FIRST_REFUSALS} calls of this kind, so look at what it does "
                    "not accept: the model, max_tokens, temperature, seed, tools or log-probabilities, or the key in variable "
                    f"{variable}"
                )
            return RefusedError(CallError(ErrorReason.SERVER_REFUSED, f"{place}: {fault.words}"))
        if not self._answered:
            return ModelError(f"{place}: {fault.words}; check the url, the model's name and the account there")
        return _Again(f"{place}: {fault.words}", wait)


def _kind(request: Request) -> _Kind:
    return bool(request.labels), bool(request.tools), request.sampling.seed is not None


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
