"""Settings -> the models that play policy and judge, each behind its stack of wrappers."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from critics.compare import LABELS
from generation.chat import Encoder
from generation.chat_model import ChatModel
from generation.config import RunConfig
from generation.endpoint_engine import Endpoint, EndpointSettings, Pool
from generation.engine import Engine
from generation.models import ModelFiles, load_tokenizer, resolve
from generation.replay_engine import Replay
from generation.transformers_engine import Transformers
from generation.vllm_engine import VLLM, VLLMSettings
from generation.wrappers import Limited

OpenEngine = Callable[[], Awaitable[Engine]]
Wrap = Callable[[OpenEngine], Engine]
"""Puts what all engines share (store, counters) in front of one that is opened at its first call."""


@dataclass(frozen=True, slots=True)
class Part:
    """One model as the settings name it, before anything is loaded."""

    name: str
    digest: str
    files: ModelFiles | None
    """None where only a server, or nobody, has the weights and the tokenizer."""
    endpoints: tuple[EndpointSettings, ...] = ()
    vllm: VLLMSettings = field(default_factory=VLLMSettings)


def parts(config: RunConfig) -> tuple[Part, Part]:
    """Policy and judge; the same Part twice when they are the same model. Raises ModelError before any model loads."""
    if config.judge_model == config.policy and not config.judge_endpoints:
        both = _part(config, config.policy, config.endpoints, config.vllm)
        return both, both
    first, second = config.vllm, config.judge_vllm
    if second is None:
        first = second = first.model_copy(update={"gpu_memory_utilization": first.gpu_memory_utilization / 2})
    policy = _part(config, config.policy, config.endpoints, first)
    return policy, _part(config, config.judge_model, config.judge_endpoints or config.endpoints, second)


def _part(config: RunConfig, spec: str, servers: tuple[EndpointSettings, ...], vllm: VLLMSettings) -> Part:
    if config.engine == "replay" or (config.engine == "endpoint" and not any(server.token_ids for server in servers)):
        return Part(spec, blake2b(f"{config.engine}:{spec}".encode(), digest_size=16).hexdigest(), None, servers, vllm)
    files = resolve(spec)
    return Part(files.name, files.digest, files, servers, vllm)


def chat_models(config: RunConfig, policy: Part, judge: Part, wrap: Wrap) -> tuple[ChatModel, ChatModel]:
    """The two models, sharing one engine when they are one. Tokenizers load now, weights at the first call."""
    judging = _chat_model(config, judge, wrap, judges=True)
    return judging if judge is policy else _chat_model(config, policy, wrap, judges=False), judging


def _chat_model(config: RunConfig, part: Part, wrap: Wrap, judges: bool) -> ChatModel:
    async def open_engine() -> Engine:
        print(f"opening {part.name} ({config.engine})", file=sys.stderr)
        return Limited(_engine(config, part), config.in_flight)

    encoder = Encoder(load_tokenizer(part.files)) if part.files else None
    labels = tuple(encoder.label_id(label) for label in LABELS) if encoder and judges else ()
    return ChatModel(part.name, part.digest, wrap(open_engine), encoder, _context(config, part), labels)


def _context(config: RunConfig, part: Part) -> int:
    """Tokens that fit; 0 where only the server knows."""
    if part.files is None:
        return 0
    if config.engine == "vllm" and part.vllm.max_model_len:
        return min(part.files.context, part.vllm.max_model_len)
    return part.files.context


def _engine(config: RunConfig, part: Part) -> Engine:
    if config.engine == "replay":
        return Replay.pseudo(config.replay_latency)
    if config.engine == "endpoint":
        return Pool([Endpoint(settings) for settings in part.endpoints])
    assert part.files is not None
    if config.engine == "transformers":
        return Transformers(part.files, config.transformers)
    return VLLM(part.files, part.vllm)
