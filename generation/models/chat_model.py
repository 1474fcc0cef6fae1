"""A model that can be asked: its engine, its safe chat encoding, its identity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from constitution.digest import integer
from constitution.records import Message, Stage
from critics.methods import JudgingMethod
from critics.ranking.weights import JudgingForm
from critics.transcript import message_text, shared_head
from generation.engines.base import (
    NOBODY,
    CallError,
    Completion,
    Encoded,
    Encodes,
    Engine,
    ErrorReason,
    RefusedError,
    Request,
    Sampling,
    Subject,
)
from generation.engines.capabilities import EXACT, LOCAL, Capabilities
from generation.engines.reward import REWARD
from generation.models.encoder import Encoder
from generation.servers.served import Served

ONE_TOKEN = Sampling(max_tokens=1)
"""For calls of which only log-probabilities are read."""
Tools = Sequence[dict[str, JsonValue]]
Told = Mapping[str, JsonValue] | None
"""What a chat template is told of one conversation."""


@dataclass(frozen=True, slots=True)
class ChatModel:
    """What the pipeline speaks to, as policy or as judge."""

    name: str
    digest: str
    """Of weights, tokenizer and chat template; part of every call's key."""
    engine: Engine
    encoder: Encoder | None
    """None only for a server whose tokenizer is not known: it is sent messages, and its own template renders them."""
    context: int
    """Most tokens of prompt and completion together; 0 where only the server knows."""
    label_ids: Mapping[str, int] = field(default_factory=dict)
    """Verdict label -> token id, for the labels of the methods it is asked by."""
    numerics: str = ""
    """As `Request.numerics`."""
    known: Capabilities = LOCAL
    """What it answers, where it runs here."""
    ends: tuple[int, ...] = ()
    """As `Sampling.ends`, of all its texts."""
    served: Served | None = None
    """Its servers, where it has any: they are probed for what it answers."""

    @property
    def capabilities(self) -> Capabilities:
        """What it answers: decides how it is asked to judge, and how its texts are read."""
        return self.served.capabilities if self.served else self.known

    @property
    def is_known(self) -> bool:
        """False of a model behind servers that nobody has probed: what it answers is only assumed."""
        return self.served is None or self.served.found is not None

    def reads_labels(self, method: JudgingMethod) -> bool:
        """True where it judges by log-probabilities, False where by what it writes."""
        return self.capabilities.has_labels or method.read_text is None

    def judging_form(self, method: JudgingMethod) -> JudgingForm:
        """How its log-odds by this method are come by."""
        if not self.reads_labels(method):
            return "text"
        return "listed" if method.labels and self.capabilities.top_logprobs != EXACT else "exact"

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        stage: Stage,
        sampling: Sampling,
        index: int = 0,
        tools: Tools = (),
        labels: Sequence[str] = (),
        schema: str = "",
        template_kwargs: Told = None,
        subject: Subject = NOBODY,
    ) -> Completion:
        """One answer to a conversation. What cannot be asked, or is refused, comes back as a completion with an error.

        labels: words of one token each, whose log-probabilities are wanted at the answer's first position. schema: JSON schema of
        the answer. template_kwargs: what the chat template is told of this conversation alone.
        """
        judged = bool(labels)
        if self.ends and not judged:
            sampling = replace(sampling, ends=self.ends)
        answer = await self._send(
            Request(
                self.digest,
                stage,
                (),
                sampling,
                tuple((label, self.label_ids.get(label, -1)) for label in labels),
                index,
                messages=tuple(messages),
                tools=_as_json(tools),
                schema=schema,
                template_kwargs=_told(template_kwargs),
                subject=subject,
            ),
            lambda encoder: _question(encoder, messages, tools, judged, template_kwargs),
        )
        opened = self.encoder.opens_thoughts_for(template_kwargs or {}) if self.encoder and not labels else ""
        if opened and answer.error is None and not answer.text.startswith(opened):
            return replace(answer, text=opened + answer.text)  # the prompt opened the thoughts, which the text closes
        return answer

    async def likelihood(
        self,
        messages: Sequence[Message],
        response: str | Message,
        tools: Tools = (),
        ended: bool = False,
        template_kwargs: Told = None,
        subject: Subject = NOBODY,
    ) -> Completion:
        """Completion.scores: the log-probability of each token of the response after the conversation.

        response: a text as a model samples it after the generation prompt; what calls tools or begins with thoughts is scored as
        the template writes it. ended: True to score the token that ends the turn too; a server of messages has none that is known.
        """
        message = Message(role="assistant", content=response) if isinstance(response, str) else response
        if not (ended or message_text(message)):
            return Completion("")
        asked = self._graded(messages, message, tools, ended, template_kwargs, subject)
        if not self.encoder:
            asked = replace(asked, scored=max(1, len(message_text(message).split())))
        return await self._send(
            asked, lambda encoder: _response(encoder, messages, message, tools, ended, template_kwargs)
        )

    async def reward(
        self,
        messages: Sequence[Message],
        response: Message,
        tools: Tools = (),
        ended: bool = True,
        template_kwargs: Told = None,
        subject: Subject = NOBODY,
    ) -> Completion:
        """Completion.logprobs[REWARD]: what a reward model gives for the response, written as reward models are trained on it.

        ended: False for a response that was cut, after which no end of the turn is written; a server of messages writes one.
        """
        asked = self._graded(messages, response, tools, ended, template_kwargs, subject)
        asked = replace(asked, labels=((REWARD, -1),))
        return await self._send(
            asked, lambda encoder: _written(encoder, messages, response, tools, ended, template_kwargs)
        )

    def _graded(
        self, messages: Sequence[Message], response: Message, tools: Tools, ended: bool, told: Told, subject: Subject
    ) -> Request:
        """A request about a given response."""
        return Request(
            self.digest, "compare", (), ONE_TOKEN, messages=(*messages, response), tools=_as_json(tools), subject=subject,
            template_kwargs=_told(told), last="ended_response" if ended else "response",
        )  # fmt: skip

    async def _send(self, request: Request, encode: Callable[[Encoder], Encoded]) -> Completion:
        """The engine's answer, or the error of a request that cannot be asked or that it refused.

        Raises TransientError and ModelError as it does.
        """
        encoder = self.encoder
        if encoder:
            request = replace(
                request,
                rendering=encoder.digest,
                numerics=self.numerics,
                encode=lambda: self._fitting(encode, encoder, request.sampling.max_tokens),
            )
        elif self.numerics:
            request = replace(request, numerics=self.numerics)
        try:
            return await self.engine.generate(request if isinstance(self.engine, Encodes) else request.encoded())
        except RefusedError as error:
            return Completion("", error=error.error)

    def _fitting(self, encode: Callable[[Encoder], Encoded], encoder: Encoder, most: int) -> Encoded:
        """Token ids, with room for the answer. Raises RefusedError."""
        try:
            found = encode(encoder)
        except ValueError as error:
            raise RefusedError(CallError(ErrorReason.BAD_CHAT, str(error))) from None
        if self.context and len(found.tokens) + most > self.context:
            need = f"{len(found.tokens)} prompt tokens + {most} to generate"
            raise RefusedError(CallError(ErrorReason.PROMPT_TOO_LONG, f"{need} > context of {self.context}"))
        return found


def _question(encoder: Encoder, messages: Sequence[Message], tools: Tools, judged: bool, told: Told) -> Encoded:
    return Encoded(tuple(encoder.encode(messages, tools or None, judged, shared_head(messages), told)))


def _response(
    encoder: Encoder, messages: Sequence[Message], response: Message, tools: Tools, ended: bool, told: Told
) -> Encoded:
    """A response whose tokens are scored. Raises ValueError where it has none."""
    if encoder.is_structured(response):
        before, (side,) = encoder.written(messages, [[response]], tools or None, told, [not ended])
        tokens = [*side.tokens]
    else:
        before, tokens = encoder.response(messages, response.content, tools or None, told)
        tokens = [*tokens, encoder.end_of_turn] if ended else tokens
    if not tokens:
        raise ValueError("the model's tokenizer has no token for the response")
    return Encoded((*before, *tokens), len(tokens))


def _written(
    encoder: Encoder, messages: Sequence[Message], response: Message, tools: Tools, ended: bool, told: Told
) -> Encoded:
    before, (side,) = encoder.written(messages, [[response]], tools or None, told, [not ended])
    return Encoded((*before, *side.tokens))


def _told(template_kwargs: Told) -> str:
    """As a server of messages takes it, and as keys know it."""
    return json.dumps(template_kwargs, sort_keys=True) if template_kwargs else ""


def _as_json(tools: Tools) -> str:
    """Tools as a server of messages takes them."""
    return json.dumps(list(tools)) if tools else ""


def derive_seed(run_seed: int, *parts: object) -> int:
    """A call's own seed, 31 bits, from the run's seed and what names the call: prompt id, stage, index."""
    text = json.dumps([run_seed, *map(str, parts)])
    return integer(text, 4) >> 1
