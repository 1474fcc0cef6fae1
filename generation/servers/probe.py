"""What a server takes and gives, found out before anything is paid: by a few calls, of which each teaches one thing.

A server that refuses a parameter is asked again without it, or by its other name, so a run loses no call to it. What is learnt is
of the kind of call that a run makes: the prompts are a judge's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from critics.text import thoughts
from generation.engines.base import Completion, ModelError, Request, TransientError
from generation.engines.capabilities import EXACT, Capabilities
from generation.servers.answers import Answer
from generation.servers.bodies import TOP_LOGPROBS
from generation.servers.http.client import NoReplyError, TooLargeError
from generation.servers.http.waits import tries
from generation.servers.logprobs import longest_list
from generation.servers.refusals import ServerFault, Trouble
from generation.servers.settings import EndpointSettings

RENAMED = {"max_tokens": "max_completion_tokens"}
"""Parameters that newer servers know by another name."""
LEFT_OUT = ("temperature", "seed", "top_p", "stop")
"""Parameters that a run can do without: then the server's own choice holds."""
_LOGPROBS = ("logprobs", "top_logprobs")
_FEWER = (5, 1)
"""Lengths of a list that are tried where 20 is refused and the server does not say how many it allows."""
_LIMIT = re.compile(
    r"(?:at most|up to|less than or equal to|no more than|maximum(?: (?:value|allowed))?(?: (?:of|is))?:?|<=|exceeds?"
    r"|between \d+ and|\[\d+, ?)\s*(\d{1,3})\b"
)
_MOST_TRIES = 12


class Questions(NamedTuple):
    """What a probe asks: one prompt in each form. `labels` alone goes to a server of token ids."""

    labels: Request
    """Asks for one token."""
    text: Request
    """Asks for a text with every parameter that a run sends."""
    structured: Request
    """The same with a schema."""
    tools: Request | None = None
    """The same with tools; None where nobody needs to know."""
    schema_needed: bool = False
    """Whether answers follow a schema is asked in any case, not only of a server that tells no labels."""
    read_labels: Callable[[Completion], bool] = bool
    """True where the answer to `labels` tells a verdict."""
    follows_schema: Callable[[str], bool] = bool
    """True for an answer that follows the schema."""


class Asked(Protocol):
    """A server that can be asked outside of any run."""

    settings: EndpointSettings

    async def look(self, request: Request, settings: EndpointSettings) -> tuple[Answer, bytes]:
        """One try, with these settings, and the bytes that came back. Raises NoReplyError and TooLargeError."""
        ...

    def explain(self, fault: ServerFault) -> str:
        """The server's own words and what to do, for people."""
        ...


def as_taken(settings: EndpointSettings, capabilities: Capabilities) -> EndpointSettings:
    """The settings of a server with what it refuses left out or renamed, and as many alternatives as it gives."""
    refused = capabilities.refused
    rename = {name: other for name, other in RENAMED.items() if name in refused and other not in refused}
    omit = sorted((refused - rename.keys() - {*RENAMED.values()}) - {*settings.omit})
    alternatives = settings.top_logprobs if capabilities.top_logprobs == EXACT else capabilities.top_logprobs
    return settings.model_copy(
        update={
            "rename": {**rename, **settings.rename},
            "omit": (*settings.omit, *omit),
            "top_logprobs": alternatives,
        }
    )


async def probe(server: Asked, questions: Questions) -> Capabilities:
    """What one server takes and gives.

    Raises ModelError, in the server's own words, for a key, a bill, an address or a model that is wrong and for a server that does
    not answer however it is asked; TransientError where it cannot be reached now.
    """
    if server.settings.token_ids:
        await _Probe(server).answered(questions.labels)
        return Capabilities(note="exact log-probabilities of each label")
    asking = _Probe(server)
    text, _ = await asking.answered(questions.text)
    split = thoughts.split(text.text)
    silent = text.finish == "length" and not text.text
    thinks = bool(split.thoughts) or silent
    given = await asking.alternatives(questions)
    structured = False
    if questions.schema_needed or not given:
        structured = await asking.follows(questions.structured, questions.follows_schema)
    if questions.tools:
        await asking.answered(questions.tools)
    return Capabilities(
        top_logprobs=given, thinks=thinks, structured=structured, refused=frozenset(asking.refused - {*_LOGPROBS})
    )


def merged(found: list[Capabilities]) -> Capabilities:
    """What all servers of a model have in common, since nobody knows which will take a call."""
    lists = [one.top_logprobs for one in found if one.top_logprobs != EXACT]
    return Capabilities(
        top_logprobs=min(lists, default=EXACT),
        thinks=any(one.thinks for one in found) if any(one.thinks is not None for one in found) else None,
        structured=all(one.structured for one in found),
        refused=frozenset().union(*(one.refused for one in found)),
    )


class _Probe:
    def __init__(self, server: Asked) -> None:
        self._server = server
        self.refused: set[str] = set()

    async def answered(self, request: Request) -> tuple[Completion, bytes]:
        """The answer, with whatever the server refuses left out. Raises ModelError where nothing helps."""
        found = await self._until_taken(request)
        if isinstance(found, ServerFault):
            raise ModelError(self._server.explain(found))
        return found

    async def alternatives(self, questions: Questions) -> int:
        """How many alternatives it lists where a label is read; 0 where none of them tells a verdict."""
        settings = self._server.settings
        most = TOP_LOGPROBS if settings.top_logprobs is None else settings.top_logprobs
        tries = [most, *(fewer for fewer in _FEWER if fewer < most)] if most else []
        while tries:
            asked = tries.pop(0)
            found = await self._until_taken(questions.labels, asked)
            if isinstance(found, ServerFault):
                allowed = [int(number) for number in _LIMIT.findall(found.words.lower())]
                tries = sorted({*tries, *(n for n in allowed if 0 < n < asked)}, reverse=True)
                continue
            completion, content = found
            listed = longest_list(_logprobs(content))
            return min(asked, max(listed, 1)) if listed and questions.read_labels(completion) else 0
        return 0

    async def follows(self, request: Request, follows_schema: Callable[[str], bool]) -> bool:
        """True where an answer follows the schema that was sent along."""
        found = await self._until_taken(request)
        if isinstance(found, ServerFault):
            self.refused.add("response_format")
            return False
        completion, _ = found
        return completion.error is None and follows_schema(thoughts.split(completion.text).answer)

    async def _until_taken(self, request: Request, alternatives: int = 0) -> tuple[Completion, bytes] | ServerFault:
        """The answer without the parameters that the server names as refused, or what else it says.

        Where it names none, each that a run can do without is left out in turn, and then all of them.
        """
        known = set(self.refused)
        unnamed = [{name} for name in (*RENAMED, *LEFT_OUT)]
        unnamed.append(set().union(*unnamed))
        first: ServerFault | None = None
        for _ in range(_MOST_TRIES):
            found = await self._patiently(request, known, alternatives)
            if not isinstance(found, ServerFault):
                self.refused = known
                return found
            first = first or found
            name = found.parameter if found.trouble is Trouble.PARAMETER else ""
            if name in (*RENAMED, *RENAMED.values(), *LEFT_OUT) and name not in known:
                known.add(name)
            elif (name and name not in known) or not unnamed:
                return found if name else first
            else:
                known = self.refused | unnamed.pop(0)
        return first or ServerFault(0, "it refuses every form of the request")

    async def _patiently(
        self, request: Request, refused: set[str], alternatives: int
    ) -> tuple[Completion, bytes] | ServerFault:
        """One answer, or a refusal of this form of the request. Trouble that may pass is waited for."""
        settings = self._server.settings
        form = as_taken(settings, Capabilities(top_logprobs=alternatives, refused=frozenset(refused)))
        if settings.token_ids:
            form = settings
        doubted = False

        async def once() -> tuple[Completion, bytes] | ServerFault:
            nonlocal doubted
            try:
                answer, content = await self._server.look(request, form)
            except (NoReplyError, TooLargeError) as error:
                raise TransientError(self._server.explain(ServerFault(0, str(error)))) from None
            if isinstance(answer, Completion):
                return answer, content
            if isinstance(answer, ServerFault):
                if answer.trouble in (Trouble.PARAMETER, Trouble.PROMPT):
                    return answer
                if answer.trouble.of_settings:
                    if doubted or settings.attempts == 1:
                        raise ModelError(self._server.explain(answer))
                    doubted = True
            raise TransientError(self._server.explain(ServerFault(0, answer.words)))

        return await tries(settings)(once)


def _logprobs(content: bytes) -> object:
    """The field of the first choice, as the server sent it."""
    answer: Any = json.loads(content)
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first.get("logprobs") if isinstance(first, Mapping) else None
