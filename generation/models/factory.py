"""Settings -> the models that play policy and judges, each behind its stack of wrappers."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from constitution.digest import digest as digest_of
from constitution.errors import Problem
from constitution.records import MAIN, VIOLATION
from critics.methods import METHODS
from critics.text.thoughts import marks_thoughts
from generation.config import RunConfig
from generation.engines.base import Engine, ModelError
from generation.engines.capabilities import Capabilities
from generation.engines.checkpoint import ModelFiles, named_ends
from generation.engines.function import FunctionEngine, registered
from generation.engines.limited import Limited
from generation.engines.replay import Replay
from generation.engines.reward import Reward
from generation.engines.transformers import Transformers
from generation.engines.vllm import VLLM
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.models.policies import Policy
from generation.models.tokenizer import chat_tokenizer
from generation.roles import POLICY, Role
from generation.servers.served import Served
from generation.servers.settings import EndpointSettings

OpenEngine = Callable[[], Awaitable[Engine]]
Wrap = Callable[[OpenEngine], Engine]
"""Puts what all engines share (store, counters) in front of one that is opened at its first call."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model as the settings name it, before anything is loaded."""

    name: str
    role: Role
    """What runs it. Its model is what the settings name: what a server is asked for that serves it under no other name."""
    digest: str
    files: ModelFiles | None
    """None where only a server, or nobody, has the weights and the tokenizer."""

    @property
    def endpoints(self) -> tuple[EndpointSettings, ...]:
        """Servers that run it."""
        return self.role.endpoints

    @property
    def rewards(self) -> bool:
        """True for a reward model."""
        return self.role.rewards

    def numerics(self, config: RunConfig) -> str:
        """What makes this model's numbers others than those of its own type, as `Request.numerics` says; else empty."""
        if self.files is None:
            return ""
        if self.endpoints:
            return "server"
        loaded = self.role.vllm if self.role.engine == "vllm" else config.transformers
        return "" if loaded.dtype == "auto" else loaded.dtype


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Which models are sampled and which are judges. Equal specifications are one model."""

    policies: Mapping[str, ModelSpec]
    """Name in the data -> model; one alone goes by its model's name."""
    judges: Mapping[str, ModelSpec]
    """Name within the panel -> model; the run's own judge first."""

    @property
    def policy(self) -> ModelSpec:
        """The model that is sampled, where that is one."""
        (policy,) = self.policies.values()
        return policy

    @property
    def specs(self) -> list[ModelSpec]:
        """All of them, each once for each of its roles."""
        return [*self.policies.values(), *self.judges.values()]

    def digests(self) -> dict[str, str]:
        """Name within the panel -> digest of its model."""
        return {name: spec.digest for name, spec in self.judges.items()}


def model_registry(config: RunConfig) -> ModelRegistry:
    """All models of a run. Raises ModelError before any model loads."""
    roles = config.roles()
    policies = {one.name: model_spec(roles.pop(one.role)) for one in config.policies}
    if not policies:
        alone = model_spec(roles.pop(POLICY))
        policies = {alone.name: alone}
    for one, other in combinations(policies, 2):
        if policies[one].digest == policies[other].digest:
            fix = f"leave it out, and raise the share of {one}"
            raise ModelError(Problem("", f"policies.{other}", f"is the same model as policies.{one}", fix=fix))
    judges: dict[str, ModelSpec] = {}
    own_memory = {member.name for member in config.panel if member.vllm}
    for name, role in roles.items():
        known = (*policies.values(), *judges.values())
        spec = next((one for one in known if one.role == role), None) or model_spec(role)
        twin = next((one for one in known if _same(one, spec)), None)
        judges[name] = spec if twin is None or name in own_memory else twin
    return ModelRegistry(policies, judges)


def _same(one: ModelSpec, other: ModelSpec) -> bool:
    """True for one model, run by one engine."""
    return (one.digest, one.role.engine, one.endpoints, one.rewards) == (
        other.digest, other.role.engine, other.endpoints, other.rewards,
    )  # fmt: skip


def model_spec(role: Role) -> ModelSpec:
    """The model of a role. Raises ModelError where its files are not there, or nobody gave the function."""
    source, told = role.model, _told(role)
    if role.is_function:
        registered(source)  # raises now for one that nobody gave
        return ModelSpec(source, role, digest_of(source), None)
    if role.engine == "replay" or role.messages:
        # nobody but the server knows what it serves: its name for it is all that can tell two models apart
        served = sorted({server.model or source for server in role.endpoints})
        # a folder is known by what is in it, as for engines that load it
        known = resolve(source).digest if role.engine == "replay" and Path(source).is_dir() else source
        changed = [json.dumps(one, sort_keys=True) for server in role.endpoints if (one := server.text_settings())]
        digest = digest_of(":".join([role.engine, known, *served, *sorted(set(changed)), *told]))
        return ModelSpec(source, role, digest, None)
    files = resolve(source)
    return ModelSpec(files.name, role, digest_of(":".join([files.digest, *told])) if told else files.digest, files)


def _told(role: Role) -> list[str]:
    """What the chat template is told, as parts of the model's digest; empty where nothing is."""
    if not (role.chat_template_kwargs or role.answer_prefix):
        return []
    return [json.dumps([role.chat_template_kwargs, role.answer_prefix], sort_keys=True)]


def chat_models(
    config: RunConfig, registry: ModelRegistry, wrap: Wrap
) -> tuple[tuple[Policy, ...], dict[str, ChatModel]]:
    """The policies, and the judges by name; one ChatModel for each ModelSpec. Tokenizers load now, weights at the first call.

    Raises ModelError when a judge lacks the words that its judging methods read.
    """
    methods: dict[str, Iterable[str]] = {
        MAIN: config.plan.all_methods,
        **{m.name: m.all_methods for m in config.panel},
    }
    models: dict[int, ChatModel] = {}
    for spec in registry.specs:
        if id(spec) not in models:
            used = {
                method for name, methods_of in methods.items() if registry.judges[name] is spec for method in methods_of
            }
            models[id(spec)] = chat_model(config, spec, wrap, used)
    judges = {name: models[id(spec)] for name, spec in registry.judges.items()}
    if not config.policies:
        return (Policy(models[id(registry.policy)]),), judges
    sampled = ((models[id(registry.policies[one.name])], one.name, one.share) for one in config.policies)
    return tuple(Policy(*one) for one in sampled), judges


def chat_model(config: RunConfig, spec: ModelSpec, wrap: Wrap, methods: Iterable[str] = ()) -> ChatModel:
    """One model that can be asked by these methods. Raises ModelError where it lacks the words that they read."""

    served = Served(spec.endpoints, spec.role.model) if spec.endpoints and not spec.role.is_function else None

    async def open_engine() -> Engine:
        kind = "reward model" if spec.rewards else spec.role.engine
        if not spec.role.is_function:
            print(f"opening {spec.name} ({kind})", file=sys.stderr)
        return Limited(served.open() if served else _engine(config, spec), config.calls_in_flight)

    told = spec.role.chat_template_kwargs, spec.role.answer_prefix
    tokenizer = chat_tokenizer(spec.files) if spec.files else None
    encoder = Encoder(tokenizer, *told, config.date) if tokenizer else None
    for note in encoder.shape.notes if encoder else ():
        print(f"{spec.name}: {note}", file=sys.stderr)
    if encoder and spec.rewards:
        _ = encoder.end_of_turn  # raises now for a template without one, not in the middle of a run
    words = sorted({word for method in methods for word in METHODS[method].labels})
    labels = {word: encoder.label_id(word) for word in words} if encoder else {}
    if encoder and not spec.rewards:
        with suppress(ModelError):  # asked only by a constitution with a veto, which then says so
            labels |= {word: encoder.label_id(word) for word in METHODS[VIOLATION].labels}
    ends = _further_ends(spec, encoder) if encoder else ()
    # a template that knows the marks of thoughts is of a model that thinks
    template = getattr(tokenizer, "chat_template", None)
    known = Capabilities(thinks=bool(encoder and encoder.thinks) or marks_thoughts(str(template)) if template else None)
    return ChatModel(
        spec.name,
        spec.digest,
        wrap(open_engine),
        encoder,
        _context(spec),
        labels,
        spec.numerics(config),
        known,
        ends,
        served,
    )


def _further_ends(spec: ModelSpec, encoder: Encoder) -> tuple[int, ...]:
    """Tokens with which the chat template ends an answer, and which the checkpoint's own files do not name, so that no engine would
    stop at them: those of a base that was given a template. Told on stderr; none for a server that is sent messages.
    """
    if spec.files is None or spec.rewards or not all(server.token_ids for server in spec.endpoints):
        return ()
    with suppress(ModelError):  # a template that ends no turn
        further = encoder.ends - named_ends(spec.files) - encoder.text_end
        if further:
            shown = ", ".join(map(encoder.spelled, sorted(further)))
            print(
                f"{spec.name}: answers also end at {shown}, as in its chat template; its files do not say so",
                file=sys.stderr,
            )
        return tuple(sorted(further))
    return ()


def _context(spec: ModelSpec) -> int:
    """Tokens that fit; 0 where only the server knows."""
    if spec.files is None:
        return 0
    if spec.role.engine == "vllm" and spec.role.vllm.max_model_len:
        return min(spec.files.context, spec.role.vllm.max_model_len)
    return spec.files.context


def _engine(config: RunConfig, spec: ModelSpec) -> Engine:
    role = spec.role
    if role.is_function:
        return FunctionEngine(registered(role.model))
    if role.engine == "replay":
        return Replay.pseudo(config.replay_latency)
    assert spec.files is not None
    if role.rewards:
        return Reward(spec.files, config.transformers)
    if role.engine == "transformers":
        return Transformers(spec.files, config.transformers)
    return VLLM(spec.files, role.vllm)
