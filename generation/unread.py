"""Settings that nothing would read: whoever gave one believes in an effect that it has not, so it is an error."""

from __future__ import annotations

from collections.abc import Iterator

from constitution.errors import shown
from constitution.records import MAIN
from generation.reads import Unread
from generation.roles import POLICY, NamedModel, Role, RoleSettings, place_of


def unread(settings: RoleSettings) -> Iterator[Unread]:
    """Those among what names models and what runs them. A value equal to the default counts as not given.

    Where `engine` was not given, the machine chooses it, and where it is replay, it stands for any other: settings of vLLM and of
    transformers are read on another machine, or without replay, and so are no error.
    """
    roles = settings.roles()
    if settings.policies:
        for key in ("policy", "chat_template_kwargs", "answer_prefix"):
            if key in settings.model_fields_set and getattr(settings, key):
                yield Unread(key, "there are `policies`, each with its own", "leave it out, or leave out policies")
    yield from _engines(settings, roles)
    yield from _names(settings, roles)
    yield from _templates(settings, roles)
    if settings.replay_latency and not any(role.engine == "replay" for role in roles.values()):
        yield Unread("replay_latency", f"got {settings.replay_latency}, and nothing runs in the replay engine")
    chosen = "engine" not in settings.model_fields_set and any(member is None for member in _by_engine(settings))
    if not chosen and not any(role.engine == "replay" for role in roles.values()):
        yield from _machine(settings, roles)


def unread_in_run(settings: RoleSettings) -> Iterator[Unread]:
    """Those that a run reads not, though an evaluation would, which has the judge alone on the machine."""
    if settings.judge_vllm and settings.one_model:
        fix = "name another judge, or leave it out; `solon evaluate` reads it"
        yield Unread("judge_vllm", "the judge is the policy's own model, which has `vllm`", fix)


def _by_engine(settings: RoleSettings) -> Iterator[NamedModel | None]:
    """Those whose engine is the run's `engine`: members and policies by name, and None for the policy or the judge."""
    own_judge = settings.judge_endpoints or settings.judge_engine
    if settings.policies:
        if not own_judge:
            yield None
        yield from (one for one in settings.policies if not (one.endpoints or one.engine))
    elif not settings.endpoints or not (settings.one_model or own_judge):
        yield None
    for member in settings.panel:
        if not (member.endpoints or member.engine or member.rewards):
            yield member


def _named(settings: RoleSettings) -> Iterator[tuple[str, NamedModel]]:
    """(role, model) of those that have settings under a name of their own."""
    yield from ((one.role, one) for one in settings.policies)
    yield from ((one.name, one) for one in settings.panel)


def _engines(settings: RoleSettings, roles: dict[str, Role]) -> Iterator[Unread]:
    """Engines of roles that run at servers."""
    named = "engine" in settings.model_fields_set and settings.engine != "endpoint"
    if named and not any(_by_engine(settings)) and None not in [*_by_engine(settings)]:
        got = f"got {settings.engine!r}, and every model has servers or an engine of its own"
        yield Unread(
            "engine", got, "leave it out, or leave out the endpoints of what it should run (`--set endpoints=[]`)"
        )
    if settings.judge_endpoints and settings.judge_engine not in (None, "endpoint"):
        yield Unread(
            "judge_engine", f"got {settings.judge_engine!r}, and the judge has judge_endpoints", "leave one of them out"
        )
    for name, m in _named(settings):
        if m.endpoints and m.engine not in (None, "endpoint"):
            yield Unread(f"{place_of(name)}engine", f"got {m.engine!r}, and it has endpoints", "leave one of them out")
    for name, role in roles.items():
        own = settings.judge_engine if name == MAIN else None
        if role.is_function and (own or (name == MAIN and settings.judge_endpoints)):
            yield Unread("judge_endpoints" if settings.judge_endpoints else "judge_engine", "the judge is a function")


def _names(settings: RoleSettings, roles: dict[str, Role]) -> Iterator[Unread]:
    """Names of models at servers that are asked for another one: those of `endpoints`, where others share them with the policy."""
    fixed = next((server.model for server in settings.endpoints if server.model), "")
    both = "judge" in settings.model_fields_set and bool("policy" in settings.model_fields_set or settings.policies)
    known = (fixed,) if settings.policies else (fixed, settings.policy)
    for name, role in roles.items():
        shares = name != POLICY and role.endpoints == settings.endpoints and fixed
        if shares and role.model not in known and (both or name != MAIN):
            key = "judge" if name == MAIN else f"{place_of(name)}model"
            got = f"got {shown(role.model)}, and the servers in `endpoints` are asked for {shown(fixed)}"
            yield Unread(key, got, f"name {place_of(name)}endpoints, or leave `model` out of endpoints")


def _templates(settings: RoleSettings, roles: dict[str, Role]) -> Iterator[Unread]:
    """Arguments of chat templates that others render, or that belong to the policy."""
    for name, role in roles.items():
        place = place_of(name)
        for key, value in (("chat_template_kwargs", role.chat_template_kwargs), ("answer_prefix", role.answer_prefix)):
            if not value or (name == MAIN and settings.one_model):
                continue
            if role.is_function:
                yield Unread(f"{place}{key}", "a function has no chat template")
            elif role.messages:
                got = "its server is sent messages, and renders its own chat template"
                yield Unread(f"{place}{key}", got, f"name it there: {place}endpoints: [{{{key}: ...}}]")


def _machine(settings: RoleSettings, roles: dict[str, Role]) -> Iterator[Unread]:
    """Settings of engines that run nothing."""
    default = type(settings).model_fields
    own = {m.name for m in settings.panel if m.vllm} | {one.role for one in settings.policies if one.vllm}
    if settings.judge_vllm:
        if roles[MAIN].engine != "vllm":
            yield Unread("judge_vllm", f"the judge's engine is {roles[MAIN].engine}")
        own.add(MAIN)
    for name, m in _named(settings):
        if m.vllm and roles[name].engine != "vllm":
            yield Unread(f"{place_of(name)}vllm", f"its engine is {roles[name].engine}")
    shared = [role.engine for name, role in roles.items() if name not in own or (name == MAIN and settings.one_model)]
    if settings.vllm != default["vllm"].default and "vllm" not in shared:
        yield Unread(
            "vllm", "nothing that it is for runs in vLLM", "leave it out (`--set vllm={}`), or set engine: vllm"
        )
    engines = {role.engine for role in roles.values()}
    if settings.transformers != default["transformers"].default and "transformers" not in engines:
        yield Unread(
            "transformers",
            "nothing runs in transformers",
            "leave it out (`--set transformers={}`), or set engine: transformers",
        )
