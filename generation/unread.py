"""Settings that nothing would read: whoever gave one believes in an effect that it has not, so it is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from constitution.errors import shown
from constitution.records import MAIN
from generation.roles import POLICY, Member, Role, RoleSettings

_LEAVE = "leave it out"


class Unread(NamedTuple):
    """A setting that was given and that nothing reads."""

    key: str
    got: str
    fix: str = _LEAVE


def unread(settings: RoleSettings) -> Iterator[Unread]:
    """Those among what names models and what runs them. A value equal to the default counts as not given.

    Where `engine` was not given, the machine chooses it, and where it is replay, it stands for any other: settings of vLLM and of
    transformers are read on another machine, or without replay, and so are no error.
    """
    roles = settings.roles()
    yield from _engines(settings, roles)
    yield from _names(settings, roles)
    yield from _templates(settings, roles)
    if settings.replay_latency and not any(role.engine == "replay" for role in roles.values()):
        yield Unread("replay_latency", f"got {settings.replay_latency}, and nothing runs in the replay engine")
    chosen = "engine" not in settings.model_fields_set and any(member is None for member in _by_engine(settings))
    if not chosen and not any(role.engine == "replay" for role in roles.values()):
        yield from _machine(settings, roles)


def _by_engine(settings: RoleSettings) -> Iterator[Member | None]:
    """Those whose engine is the run's `engine`: members, and None for the policy or the judge."""
    own_judge = settings.judge_endpoints or settings.judge_engine
    if not settings.endpoints or not (settings.one_model or own_judge):
        yield None
    for member in settings.panel:
        if not (member.endpoints or member.engine or member.rewards):
            yield member


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
    for m in settings.panel:
        if m.endpoints and m.engine not in (None, "endpoint"):
            yield Unread(f"panel.{m.name}.engine", f"got {m.engine!r}, and it has endpoints", "leave one of them out")
    for name, role in roles.items():
        own = settings.judge_engine if name == MAIN else None
        if role.is_function and (own or (name == MAIN and settings.judge_endpoints)):
            yield Unread("judge_endpoints" if settings.judge_endpoints else "judge_engine", "the judge is a function")


def _names(settings: RoleSettings, roles: dict[str, Role]) -> Iterator[Unread]:
    """Names of models at servers that are asked for another one: those of `endpoints`, where others share them with the policy."""
    fixed = next((server.model for server in settings.endpoints if server.model), "")
    both = {"policy", "judge"} <= settings.model_fields_set
    for name, role in roles.items():
        shares = name != POLICY and role.endpoints == settings.endpoints and fixed
        if shares and role.model not in (fixed, settings.policy) and (both or name != MAIN):
            key = "judge" if name == MAIN else f"panel.{name}.model"
            place = "judge_endpoints" if name == MAIN else f"panel.{name}.endpoints"
            got = f"got {shown(role.model)}, and the servers in `endpoints` are asked for {shown(fixed)}"
            yield Unread(key, got, f"name {place}, or leave `model` out of endpoints")


def _templates(settings: RoleSettings, roles: dict[str, Role]) -> Iterator[Unread]:
    """Arguments of chat templates that others render, or that belong to the policy."""
    for name, role in roles.items():
        place = {POLICY: "", MAIN: "judge_"}.get(name, f"panel.{name}.")
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
    own = {m.name for m in settings.panel if m.vllm}
    if settings.judge_vllm:
        if settings.one_model:
            yield Unread(
                "judge_vllm",
                "the judge is the policy's own model, which has `vllm`",
                "name another judge, or leave it out",
            )
        elif roles[MAIN].engine != "vllm":
            yield Unread("judge_vllm", f"the judge's engine is {roles[MAIN].engine}")
        own.add(MAIN)
    for m in settings.panel:
        if m.vllm and roles[m.name].engine != "vllm":
            yield Unread(f"panel.{m.name}.vllm", f"its engine is {roles[m.name].engine}")
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
