"""Settings -> the models that play policy and judges, each behind its stack of wrappers."""

from __future__ import annotations

import json
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
from generation.engines.function import PREFIX, FunctionEngine, registered
from generation.engines.limited import Limited
from generation.engines.replay import Replay
from generation.engines.reward import Reward
from generation.engines.transformers import Transformers
from generation.engines.vllm import VLLM, VLLMSettings
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings

OpenEngine = Callable[[], Awaitable[Engine]]
Wrap = Callable[[OpenEngine], Engine]
"""Puts what all engines share (store, counters) in front of one that is opened at its first call."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model as the settings name it, before anything is loaded."""

    name: str
    source: str
    """As the settings name it; what a server is asked for that serves it under no other name."""
    digest: str
    files: ModelFiles | None
    """None where only a server, or nobody, has the weights and the tokenizer."""
    endpoints: tuple[EndpointSettings, ...] = ()
    vllm: VLLMSettings = field(default_factory=VLLMSettings)
    rewards: bool = False
    """It is a reward model: it grades and writes nothing."""

    def numerics(self, config: RunConfig) -> str:
        """What makes this model's numbers others than those of its own type, as `Request.numerics` says; else empty."""
        if self.files is None:
            return ""
        if self.endpoints:
            return "server"
        loaded = self.vllm if config.engine == "vllm" and not self.rewards else config.transformers
        return "" if loaded.dtype == "auto" else loaded.dtype


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Which model is the policy and which are judges. Equal specifications are one model."""

    policy: ModelSpec
    judges: Mapping[str, ModelSpec]
    """Name within the panel -> model; the run's own judge first."""

    def digests(self) -> dict[str, str]:
        """Name within the panel -> digest of its model."""
        return {name: spec.digest for name, spec in self.judges.items()}


def model_registry(config: RunConfig) -> ModelRegistry:
    """All models of a run. Raises ModelError before any model loads."""
    remote = config.engine == "endpoint"
    shared = config.endpoints if remote else ()
    if config.judge_model == config.policy and not (remote and config.judge_endpoints):
        policy = judge = _model_spec(config, config.policy, shared, config.vllm)
    else:
        first, second = config.vllm, config.judge_vllm
        if second is None:
            first = second = first.model_copy(update={"gpu_memory_utilization": first.gpu_memory_utilization / 2})
        policy = _model_spec(config, config.policy, shared, first)
        judge = _model_spec(config, config.judge_model, (remote and config.judge_endpoints) or shared, second)
    judges = {MAIN: judge}
    for member in config.panel:
        spec = _model_spec(config, member.model, member.endpoints, member.vllm or config.vllm, member.rewards)
        twin = next((p for p in (policy, *judges.values()) if _same(p, spec)), None)
        judges[member.name] = spec if twin is None or member.vllm else twin
    return ModelRegistry(policy, judges)


def _same(one: ModelSpec, other: ModelSpec) -> bool:
    return (one.digest, one.endpoints, one.rewards) == (other.digest, other.endpoints, other.rewards)


def _model_spec(
    config: RunConfig, source: str, servers: tuple[EndpointSettings, ...], vllm: VLLMSettings, rewards: bool = False
) -> ModelSpec:
    if source.startswith(PREFIX):
        registered(source)  # raises now for one that nobody gave
        return ModelSpec(source, source, digest_of(source), None)
    if config.engine == "replay" or (servers and not any(server.token_ids for server in servers)):
        kind = config.engine if config.engine == "replay" else "endpoint"
        # nobody but the server knows what it serves: its name for it is all that can tell two models apart
        served = sorted({server.model or source for server in servers})
        # a folder is known by what is in it, as for engines that load it
        known = resolve(source).digest if kind == "replay" and Path(source).is_dir() else source
        changed = [json.dumps(one, sort_keys=True) for one in [server.text_settings() for server in servers] if one]
        digest = digest_of(":".join([kind, known, *served, *sorted(set(changed))]))
        return ModelSpec(source, source, digest, None, servers, vllm, rewards)
    files = resolve(source)
    return ModelSpec(files.name, source, files.digest, files, servers, vllm, rewards)


def chat_models(config: RunConfig, registry: ModelRegistry, wrap: Wrap) -> tuple[ChatModel, dict[str, ChatModel]]:
    """The policy, and the judges by name; one ChatModel for each ModelSpec. Tokenizers load now, weights at the first call.

    Raises ModelError when a judge lacks the words that its judging methods read.
    """
    methods: dict[str, Iterable[str]] = {
        MAIN: config.plan.all_methods,
        **{m.name: m.all_methods for m in config.panel},
    }
    models: dict[int, ChatModel] = {}
    for spec in (registry.policy, *registry.judges.values()):
        if id(spec) not in models:
            used = {
                method for name, methods_of in methods.items() if registry.judges[name] is spec for method in methods_of
            }
            models[id(spec)] = chat_model(config, spec, wrap, used)
    return models[id(registry.policy)], {name: models[id(spec)] for name, spec in registry.judges.items()}


def chat_model(config: RunConfig, spec: ModelSpec, wrap: Wrap, methods: Iterable[str] = ()) -> ChatModel:
    """One model that can be asked by these methods. Raises ModelError where it lacks the words that they read."""

    async def open_engine() -> Engine:
        kind = "endpoint" if spec.endpoints else "reward model" if spec.rewards else config.engine
        if not spec.source.startswith(PREFIX):
            print(f"opening {spec.name} ({kind})", file=sys.stderr)
        return Limited(_engine(config, spec), config.calls_in_flight)

    encoder = Encoder(load_tokenizer(spec.files)) if spec.files else None
    if encoder and spec.rewards:
        _ = encoder.end_of_turn  # raises now for a template without one, not in the middle of a run
    words = sorted({word for method in methods for word in METHODS[method].labels})
    labels = {word: encoder.label_id(word) for word in words} if encoder else {}
    return ChatModel(
        spec.name, spec.digest, wrap(open_engine), encoder, _context(config, spec), labels, spec.numerics(config)
    )


def _context(config: RunConfig, spec: ModelSpec) -> int:
    """Tokens that fit; 0 where only the server knows."""
    if spec.files is None:
        return 0
    if config.engine == "vllm" and spec.vllm.max_model_len:
        return min(spec.files.context, spec.vllm.max_model_len)
    return spec.files.context


def _engine(config: RunConfig, spec: ModelSpec) -> Engine:
    if spec.source.startswith(PREFIX):
        return FunctionEngine(registered(spec.source))
    if config.engine == "replay":
        return Replay.pseudo(config.replay_latency)
    if spec.endpoints:
        return Pool([Endpoint(settings, spec.source) for settings in spec.endpoints])
    assert spec.files is not None
    if spec.rewards:
        return Reward(spec.files, config.transformers)
    if config.engine == "transformers":
        return Transformers(spec.files, config.transformers)
    return VLLM(spec.files, spec.vllm)
