"""Models behind HTTP: any OpenAI-compatible server.

A vLLM server is sent token ids, so that our encoding is the one that counts and label log-probabilities are exact; start it
with `--enable-scale-out --enable-prompt-tokens-details --hf-overrides '{"head_dtype": "float32"}'`, which opens
`/inference/v1/generate` and keeps logits from being rounded to bfloat16. Any other server is sent messages
(`/v1/chat/completions`) and renders its own template.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from constitution.errors import Unavailable
from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    Finish,
    Meter,
    ModelError,
    RefusedError,
    Request,
    TransientError,
    Unkept,
    Usage,
    failed,
    guessed_usage,
)
from generation.engines.capabilities import Capabilities
from generation.servers.answers import Answer, Malformed, billed, most_usage, read_answer
from generation.servers.bodies import request_body
from generation.servers.gate import Gate, Outcome, Ticket
from generation.servers.http.addresses import addresses, expand, named_variables, variable
from generation.servers.http.client import MAX_BYTES, Client, NoReplyError, Reply, TooLargeError
from generation.servers.http.secrets import Secrets
from generation.servers.http.waits import named_wait
from generation.servers.probe import Questions, probe
from generation.servers.refusals import ServerFault, Trouble
from generation.servers.settings import EndpointSettings
from generation.tasks import aside

FIRST_REFUSALS = 5
"""So many requests of one kind refused, before any was answered, are a setting that is wrong and not the prompts."""
MOST_BYTES, BYTES_A_TOKEN, BYTES_A_CHARACTER = 1 << 20, 512, 8
"""Of an answer; more for each token that is written or scored, and for each character of the request, which an error's words may
hold. Parsing it holds up all other calls, by 0.04 s for 1 MB of numbers."""
_OVERLOADED = frozenset({408, 503, 504, 524, 529})
_NO_SCORES = (
    "a server of messages gives no log-probabilities of a given response; use a vLLM server with token_ids: true, "
    "or methods that put a question"
)


class AgainError(TransientError):
    """This try failed, and another may not."""

    def __init__(self, message: str, trouble: Trouble = Trouble.PASSES, malformed: bool = False) -> None:
        super().__init__(message)
        self.limited = trouble is Trouble.RATE
        """The server asked for fewer calls, which says nothing of this one."""
        self.malformed = malformed
        """The server answered, and what it sent is no completion: where every try ends so, it is the request that has failed."""


_Kind = tuple[bool, bool, bool, bool, bool]
"""Of a request: with labels, tools, a seed, a schema, greedy. Servers refuse parameters, and each kind sends others."""


class Endpoint:
    """One server; each call is one try. `Pool` queues calls, tries them again and spreads them over several servers."""

    def __init__(self, settings: EndpointSettings, model: str = "") -> None:
        """Raises ModelError when a variable that settings name is not set."""
        self.settings = settings
        self.model = settings.model or model
        place = settings.url
        self.addresses = addresses(settings)
        headers = {name: expand(value, place) for name, value in settings.headers.items()}
        headers |= {name: variable(env, place) for name, env in settings.headers_env.items()}
        if settings.api_key_env:
            key = variable(settings.api_key_env, place)
            headers[settings.key_header] = f"Bearer {key}" if settings.key_header == "Authorization" else key
        self.secrets = Secrets(variable(name, place) for name in named_variables(settings))
        self.client = Client(settings, headers, self.addresses.proxy)
        self.gate = Gate(settings)
        self._answered: set[_Kind] = set()
        self._refusals: dict[_Kind, int] = defaultdict(int)
        self._doubts: dict[Trouble, float] = {}
        self.meter: Meter | None = None
        """Is told what is paid beside the answers that are returned."""

    def __repr__(self) -> str:
        return f"Endpoint({self.settings.url!r}, {self.model!r})"

    def tokens(self, request: Request) -> float:
        """About how many tokens a request may use, prompt and answer: what a limit a minute counts until the answer says."""
        return request.prompt_size + request.most_written + self.settings.thinking_tokens

    async def generate(self, request: Request) -> Completion:
        """The server's answer, in one try.

        Raises AgainError, which is a TransientError, where another try may do, RefusedError where the server does not answer this
        request, and ModelError when its key, its address or a setting is wrong.
        """
        return await self.ask(request, self.gate.begin(self.tokens(request)))

    async def ask(self, request: Request, ticket: Ticket) -> Completion:
        """The answer to a call that has begun at the gate. Raises as `generate`."""
        outcome = _Outcome(Outcome.UNKNOWN)
        try:
            fields = self.fields(request)
            body = written(fields)
            if isinstance(body, Completion):
                return body
            try:
                reply = await self._post(body, self._most_bytes(request))
                read = await aside(partial(self._answered_by, reply, request, _names(fields)), len(reply.content))
            except NoReplyError as error:
                outcome = _Outcome(Outcome.CONGESTED if error.silent else Outcome.DEAD)
                if error.sent:
                    self._paid(request, Unkept.LOST)
                raise AgainError(self.said(str(error))) from None
            except TooLargeError as error:
                outcome = _Outcome(Outcome.BROKEN)
                self._paid(request, Unkept.UNUSABLE)
                raise AgainError(self.said(str(error)), malformed=True) from None
            except asyncio.CancelledError:
                with suppress(Unavailable):  # nobody makes it again
                    self._paid(request, Unkept.LOST)
                raise
            outcome = _outcome(read[0], reply)
            return self._meant(*read, reply, request, ticket)
        finally:
            self.gate.end(ticket, *outcome)

    def fields(self, request: Request) -> dict[str, Any]:
        """What is sent. Raises RefusedError."""
        if request.scored and not self.settings.token_ids:
            raise self._refuse(ErrorReason.UNSUPPORTED, _NO_SCORES)
        return request_body(request, self.model, self.settings)

    def read(self, reply: Reply, request: Request) -> Completion:
        """What a reply that came by another way means. Raises as `generate`."""
        ticket = self.gate.begin()
        read, usage = self._answered_by(reply, request, _names(self.settings.rename))
        self.gate.end(ticket, *_outcome(read, reply))
        return self._meant(read, dataclasses.replace(usage, batched=True), reply, request, ticket)

    def _answered_by(self, reply: Reply, request: Request, sent: Collection[str]) -> tuple[Answer, Usage]:
        """What a reply says, and what it is billed. sent: names of the request's fields."""
        read = read_answer(reply.status, reply.content, request, self.settings.token_ids, sent)
        return read, self._usage(read, reply, request)

    def _meant(self, read: Answer, usage: Usage, reply: Reply, request: Request, ticket: Ticket) -> Completion:
        if isinstance(read, Completion):
            # a server that counts as many tokens as it may write, and calls the answer complete, has cut it
            most = request.most_written + self.settings.thinking_tokens
            cut = not (request.labels or request.scored) and read.usage.completion == most
            finish: Finish = "length" if cut and not read.error else read.finish
            return self._accepted(dataclasses.replace(read, usage=usage, finish=finish), request)
        self._paid(request, Unkept.UNUSABLE, usage)
        if isinstance(read, Malformed):
            raise AgainError(self.said(read.words), malformed=True)
        raise self._fault(self._located(read, reply), request, ticket)

    def _usage(self, read: Answer, reply: Reply, request: Request) -> Usage:
        """What an answer is billed, guessed where it does not say."""
        if not isinstance(read, Completion):
            return billed(reply.status, reply.content, request, self.settings.thinking_tokens)
        return read.usage if read.error or read.usage.reported else guessed_usage(request, read.text)

    def _paid(self, request: Request, why: Unkept, usage: Usage | None = None) -> None:
        """Tell of a call that was paid; the most that it can have taken where nothing is known. Raises Unavailable."""
        usage = most_usage(request, self.settings.thinking_tokens) if usage is None else usage
        if self.meter and usage.reported:
            self.meter.paid(request, usage, why)

    async def look(self, request: Request, settings: EndpointSettings) -> tuple[Answer, bytes]:
        """One try outside of the gate, and the bytes that came back: for a probe, which learns from refusals.

        settings: in place of the server's own where they say what is asked for, and how. Raises NoReplyError and TooLargeError, and
        Unavailable where limits of the run leave no room.
        """
        if self.meter:
            self.meter.before_probe(request)
        fields = request_body(request, self.model, settings)
        try:
            reply = await self._post(json.dumps(fields, allow_nan=False).encode(), self._most_bytes(request))
        except (NoReplyError, TooLargeError) as error:
            if isinstance(error, TooLargeError) or error.sent:
                self._paid(request, Unkept.PROBE)
            raise
        read = read_answer(reply.status, reply.content, request, settings.token_ids, _names(fields))
        self._paid(request, Unkept.PROBE, self._usage(read, reply, request))
        return (self._located(read, reply) if isinstance(read, ServerFault) else read), reply.content

    def explain(self, fault: ServerFault) -> str:
        """What the server said, without secrets, and what to do."""
        said = f"status {fault.status}: {fault.words}" if fault.status else fault.words
        advice = f"; {self._advice(fault, False)}" if fault.trouble.of_settings else ""
        return self.said(said + advice)

    async def probe(self, questions: Questions) -> Capabilities:
        """What the server takes and gives. Raises ModelError and TransientError."""
        return await probe(self, questions)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    def _most_bytes(self, request: Request) -> int:
        """Of an answer to a request."""
        tokens = request.most_written + self.settings.thinking_tokens + (request.prompt_size if request.scored else 0)
        return min(MAX_BYTES, MOST_BYTES + BYTES_A_TOKEN * tokens + BYTES_A_CHARACTER * request.characters)

    async def _post(self, body: bytes, most: int) -> Reply:
        url = self.addresses.tokens if self.settings.token_ids else self.addresses.chat
        try:
            return await self.client.post(url, body, most)
        except NoReplyError as error:
            if not error.stale:
                raise
        # a connection that was idle may have been closed while the request was on its way
        return await self.client.post(url, body, most)

    def _accepted(self, read: Completion, request: Request) -> Completion:
        """A completion with no secret in it."""
        if read.error is None:
            self._answered.add(_kind(request))
            text = self.secrets.mask(read.text)
            return read if text == read.text else dataclasses.replace(read, text=text)
        return dataclasses.replace(read, error=CallError(read.error.reason, self.secrets.mask(read.error.detail)))

    def said(self, words: str) -> str:
        """A server's words as they may be shown."""
        return f"endpoint {self.settings.url}: {self.secrets.mask(words)}"

    def _refuse(self, reason: ErrorReason, words: str) -> RefusedError:
        return RefusedError(CallError(reason, self.said(words)))

    def _located(self, fault: ServerFault, reply: Reply) -> ServerFault:
        """A redirect with the address that it names, which tells what is wrong with ours."""
        location = reply.headers.get("Location", "") if 300 <= fault.status < 400 else ""
        place = re.sub(r"(//)[^/@]*@|[?#].*", r"\1", location)[:200]
        return fault._replace(words=f"{fault.words} to {place}".strip()) if place else fault

    def _fault(self, fault: ServerFault, request: Request, ticket: Ticket) -> Exception:
        """What a server's fault means for the request and for the run. None of it is an answer, so nothing is stored."""
        said = f"status {fault.status}: {fault.words}" if fault.status else fault.words
        kind = _kind(request)
        if fault.trouble in (Trouble.PASSES, Trouble.RATE):
            return AgainError(
                self.said(said), fault.trouble, malformed=fault.status == 0 and fault.trouble is Trouble.PASSES
            )
        if fault.trouble is Trouble.PARAMETER and kind in self._answered:
            return self._refuse(ErrorReason.SERVER_REFUSED, said)
        if fault.trouble.of_settings:
            known = bool(self._answered) and fault.trouble is not Trouble.PARAMETER
            if self._certain(fault.trouble, ticket, known):
                return ModelError(self.said(f"{said}; {self._advice(fault, known)}"))
            return AgainError(self.said(said))
        self._refusals[kind] += 1
        if kind not in self._answered and self._refusals[kind] >= FIRST_REFUSALS:
            return ModelError(
                self.said(
                    f"{said}; it refused the first {FIRST_REFUSALS} calls of this kind, so look at what it does not accept: the "
                    "model, max_tokens, temperature, seed, tools or log-probabilities, or the key in variable "
                    f"{self._variable}"
                )
            )
        return self._refuse(ErrorReason.SERVER_REFUSED, said)

    def _certain(self, trouble: Trouble, ticket: Ticket, known: bool) -> bool:
        """True once a trouble of settings is no hiccup of a gateway: a later call met it too.

        known: calls were answered before. Then a bill or a key may have run out, which is certain when as many calls in turn met
        it as one request is tried; an address and a model were right, so they may be again, and the run is only incomplete.
        """
        if known:
            return trouble in (Trouble.KEY, Trouble.ACCOUNT) and self.gate.rounds + 1 >= self.settings.attempts
        first = self._doubts.setdefault(trouble, time.monotonic())
        return self.settings.attempts == 1 or ticket.began > first

    @property
    def _variable(self) -> str:
        return self.settings.api_key_env or "(none: api_key_env is not set)"

    def _advice(self, fault: ServerFault, known: bool) -> str:
        again = "; what it answered before is kept, run the same command again to resume" if known else ""
        match fault.trouble:
            case Trouble.KEY:
                return f"check the key in variable {self._variable}{again}"
            case Trouble.ACCOUNT:
                return f"look at the credit and the limits of the account there{again}"
            case Trouble.MODEL:
                return f"check the model's name, {self.model!r}, and the url{again}"
            case Trouble.PARAMETER:
                name = fault.parameter
                return f"leave the parameter out with `omit: [{name}]`, give it another name with `rename`, or change its value"
        return f"check the url, the model's name and the account there{again}"


def written(fields: Mapping[str, object]) -> bytes | Completion:
    """The body, or the error of a request that cannot be written as JSON."""
    try:
        return json.dumps(fields, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        return failed(ErrorReason.BAD_CHAT, f"the request cannot be written as JSON ({error})")


def _names(body: Mapping[str, object]) -> Collection[str]:
    """Names of all fields that a server may refuse."""
    inner = body.get("sampling_params")
    return [*body, *(inner if isinstance(inner, Mapping) else ())]


class _Outcome(NamedTuple):
    """What an answer says of its server."""

    outcome: Outcome
    used: float | None = None
    """Tokens."""
    wait: float | None = None
    """Seconds that it asks to be left alone."""


def _outcome(read: Answer, reply: Reply) -> _Outcome:
    if isinstance(read, Completion):
        return _Outcome(Outcome.ANSWERED, read.usage.prompt + read.usage.completion or None)
    if isinstance(read, Malformed):
        return _Outcome(Outcome.BROKEN)
    wait = named_wait(reply.headers)
    wait = read.wait if wait is None else wait
    if read.trouble is Trouble.RATE:
        return _Outcome(Outcome.LIMITED, wait=wait)
    if read.trouble is Trouble.PASSES:
        return _Outcome(Outcome.CONGESTED if read.status in _OVERLOADED else Outcome.BROKEN, wait=wait)
    of_request = read.trouble in (Trouble.PROMPT, Trouble.PARAMETER)
    return _Outcome(Outcome.ANSWERED if of_request else Outcome.BROKEN)


def _kind(request: Request) -> _Kind:
    s = request.sampling
    return bool(request.labels), bool(request.tools), s.seed is not None, bool(request.schema), s.temperature == 0
