"""Settings -> the models that play policy and judges, each behind its stack of wrappers."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from constitution.digest import digest as digest_of
from constitution.records import MAIN
from critics.methods import METHODS
from generation.config import RunConfig
from generation.engines.base import Engine
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.engines.endpoint import Endpoint
from generation.engines.function import PREFIX, FunctionEngine, registered
from generation.engines.replay import Replay
from generation.engines.reward import Reward
from generation.engines.server import EndpointSettings
from generation.engines.transformers import Transformers
from generation.engines.vllm import VLLM, VLLMSettings
from generation.engines.wrappers import Limited, Pool
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.files import resolve

OpenEngine = Callable[[], Awaitable[Engine]]
Wrap = Callable[[OpenEngine], Engine]
"""Puts what all engines share (store, counters) in front of one that is opened at its first call."""


@dataclass(frozen=True, slots=True)
class Part:
    """One model as the settings name it, before anything is loaded."""

    name: str
    spec: str
    """As the settings name it; what a server is asked for that serves it under no other name."""
    digest: str
    files: ModelFiles | None
    """None where only a server, or nobody, has the weights and the tokenizer."""
    endpoints: tuple[EndpointSettings, ...] = ()
    vllm: VLLMSettings = field(default_factory=VLLMSettings)
    rewards: bool = False
    """It is a reward model: it grades and writes nothing."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays what. Equal parts are one model."""

    policy: Part
    judges: Mapping[str, Part]
    """Name within the panel -> model; the run's own judge first."""

    def digests(self) -> dict[str, str]:
        """Name within the panel -> digest of its model."""
        return {name: part.digest for name, part in self.judges.items()}


def parts(config: RunConfig) -> Cast:
    """All models of a run. Raises ModelError before any model loads."""
    remote = config.engine == "endpoint"
    shared = config.endpoints if remote else ()
    if config.judge_model == config.policy and not (remote and config.judge_endpoints):
        policy = judge = _part(config, config.policy, shared, config.vllm)
    else:
        first, second = config.vllm, config.judge_vllm
        if second is None:
            first = second = first.model_copy(update={"gpu_memory_utilization": first.gpu_memory_utilization / 2})
        policy = _part(config, config.policy, shared, first)
        judge = _part(config, config.judge_model, (remote and config.judge_endpoints) or shared, second)
    judges = {MAIN: judge}
    for member in config.panel:
        part = _part(config, member.model, member.endpoints, member.vllm or config.vllm, member.rewards)
        twin = next((p for p in (policy, *judges.values()) if _same(p, part)), None)
        judges[member.name] = part if twin is None or member.vllm else twin
    return Cast(policy, judges)


def _same(one: Part, other: Part) -> bool:
    return (one.digest, one.endpoints, one.rewards) == (other.digest, other.endpoints, other.rewards)


def _part(
    config: RunConfig, spec: str, servers: tuple[EndpointSettings, ...], vllm: VLLMSettings, rewards: bool = False
) -> Part:
    if spec.startswith(PREFIX):
        registered(spec)  # one that nobody gave is told now
        return Part(spec, spec, digest_of(spec), None)
    if config.engine == "replay" or (servers and not any(server.token_ids for server in servers)):
        kind = config.engine if config.engine == "replay" else "endpoint"
        # nobody but the server knows what it serves: its name for it is all that can tell two models apart
        served = sorted({server.model or spec for server in servers})
        # a folder is known by what is in it, as for engines that load it
        known = resolve(spec).digest if kind == "replay" and Path(spec).is_dir() else spec
        digest = digest_of(":".join([kind, known, *served]))
        return Part(spec, spec, digest, None, servers, vllm, rewards)
    files = resolve(spec)
    return Part(files.name, spec, files.digest, files, servers, vllm, rewards)


def chat_models(config: RunConfig, cast: Cast, wrap: Wrap) -> tuple[ChatModel, dict[str, ChatModel]]:
    """The policy, and the judges by name; one ChatModel for each Part. Tokenizers load now, weights at the first call.

    Raises ModelError when a judge lacks the words that its judging methods read.
    """
    methods: dict[str, Iterable[str]] = {
        MAIN: config.plan.all_methods,
        **{m.name: m.all_methods for m in config.panel},
    }
    models: dict[int, ChatModel] = {}
    for part in (cast.policy, *cast.judges.values()):
        if id(part) not in models:
            asked = {
                method for name, methods_of in methods.items() if cast.judges[name] is part for method in methods_of
            }
            models[id(part)] = chat_model(config, part, wrap, asked)
    return models[id(cast.policy)], {name: models[id(part)] for name, part in cast.judges.items()}


def chat_model(config: RunConfig, part: Part, wrap: Wrap, methods: Iterable[str] = ()) -> ChatModel:
    """One model that can be asked by these methods. Raises ModelError where it lacks the words that they read."""

    async def open_engine() -> Engine:
        kind = "endpoint" if part.endpoints else "reward model" if part.rewards else config.engine
        if not part.spec.startswith(PREFIX):
            print(f"opening {part.name} ({kind})", file=sys.stderr)
        return Limited(_engine(config, part), config.calls_in_flight)

    encoder = Encoder(load_tokenizer(part.files)) if part.files else None
    if encoder and part.rewards:
        _ = encoder.end_of_turn  # a template without one is told now, not in the middle of a run
    words = sorted({word for method in methods for word in METHODS[method].labels})
    labels = {word: encoder.label_id(word) for word in words} if encoder else {}
    return ChatModel(part.name, part.digest, wrap(open_engine), encoder, _context(config, part), labels)


def _context(config: RunConfig, part: Part) -> int:
    """Tokens that fit; 0 where only the server knows."""
    if part.files is None:
        return 0
    if config.engine == "vllm" and part.vllm.max_model_len:
        return min(part.files.context, part.vllm.max_model_len)
    return part.files.context


def _engine(config: RunConfig, part: Part) -> Engine:
    if part.spec.startswith(PREFIX):
        return FunctionEngine(registered(part.spec))
    if config.engine == "replay":
        return Replay.pseudo(config.replay_latency)
    if part.endpoints:
        return Pool([Endpoint(settings, part.spec) for settings in part.endpoints])
    assert part.files is not None
    if part.rewards:
        return Reward(part.files, config.transformers)
    if config.engine == "transformers":
        return Transformers(part.files, config.transformers)
    return VLLM(part.files, part.vllm)
