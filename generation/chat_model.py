"""A model that can be asked: its engine, its safe chat encoding, its identity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import JsonValue

from constitution.records import Message, Stage
from critics.compare import LABELS
from generation.chat import Encoder
from generation.engine import Completion, Engine, Request, Sampling


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
    label_ids: tuple[int, ...] = ()
    """Token ids of the verdict labels, in the order of LABELS."""

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        stage: Stage,
        sampling: Sampling,
        index: int = 0,
        tools: Sequence[dict[str, JsonValue]] = (),
    ) -> Completion:
        """One answer to a conversation. What can never be asked comes back as an error completion, unstored."""
        tokens: tuple[int, ...] = ()
        if self.encoder:
            try:
                tokens = tuple(self.encoder.encode(messages, tools or None))
            except ValueError as error:
                return Completion("", "error", error=f"bad_chat: {error}")
            if self.context and len(tokens) + sampling.max_tokens > self.context:
                need = f"{len(tokens)} prompt tokens + {sampling.max_tokens} to generate > context of {self.context}"
                return Completion("", "error", error=f"prompt_too_long: {need}")
        labels = tuple(zip(LABELS, self.label_ids or (-1,) * len(LABELS), strict=True)) if stage == "compare" else ()
        plain = () if tokens else tuple(messages)
        described = json.dumps(list(tools)) if tools and not tokens else ""
        request = Request(self.digest, stage, tokens, sampling, labels, index, plain, described)
        return await self.engine.generate(request)


def derive_seed(run_seed: int, *parts: object) -> int:
    """A call's own seed, 31 bits, from the run's seed and what names the call: prompt id, stage, index."""
    text = json.dumps([run_seed, *map(str, parts)])
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") >> 1
