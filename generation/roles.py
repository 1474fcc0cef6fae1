"""Who plays policy and judge, and what runs each of them: a server, or an engine in this process."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from constitution.errors import invalid, shown, suggest
from constitution.principles import Id
from constitution.records import MAIN, Strict
from critics.methods import CHOICES
from generation.engines.function import PREFIX
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLMSettings
from generation.placement import ClusterSettings
from generation.servers.settings import Servers

EngineName = Literal["vllm", "transformers", "endpoint", "replay"]
ENGINES: tuple[EngineName, ...] = ("vllm", "transformers", "endpoint", "replay")
POLICY = "policy"
"""Name of the role that is sampled, where there is one."""
POLICIES = "policies."
"""What the names of roles begin with that are sampled, where there are several."""
_ADD = "add `endpoints: [{url: http://host:8000}]`"


def default_engine() -> EngineName:
    """vllm where it is installed, else transformers."""
    return "vllm" if find_spec("vllm") else "transformers"


def engine_beside(given: dict[str, Any]) -> EngineName:
    """The default of a field `engine` that stands after a field `endpoints`: those servers, where there are any."""
    return "endpoint" if given.get("endpoints") else default_engine()


def _known(name: str) -> str:
    if name not in CHOICES:
        raise invalid(f"got {shown(name)}{suggest(name, CHOICES)}", ", ".join(CHOICES))
    return name


MethodName = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*CHOICES]})]
"""A judging method that asks a model; the constitution's rules are judged without one."""


def _once(methods: tuple[MethodName, ...]) -> tuple[MethodName, ...]:
    if len(set(methods)) < len(methods):
        raise invalid(f"got {', '.join(methods)}", "each method once")
    return methods


Methods = Annotated[tuple[MethodName, ...], Field(min_length=1), AfterValidator(_once)]


class NamedModel(Strict):
    """One of several models, and what runs it."""

    name: Id
    """What it goes by."""
    model: str
    """`embedded`, a local folder, or a hub id (a served name for endpoints)."""
    engine: EngineName | None = None
    """What runs it; the run's `engine` where absent."""
    endpoints: Servers = ()
    """Its servers; it runs there where any are given."""
    vllm: VLLMSettings | None = None
    """The run's `vllm` where absent. Models that share a GPU must share its memory: set gpu_memory_utilization for each."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """As the run's, for this model."""
    answer_prefix: str = ""
    """As the run's, for this model."""


class SampledModel(NamedModel):
    """One of several policies whose responses are candidates side by side."""

    name: Id
    """Its name in the data: `chosen_policy`, `rejected_policy`, and the ids of its responses."""
    share: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Its part of the samples, beside the shares of the other policies: 2 beside 1 and 1 is half of them."""
    vllm: VLLMSettings | None = None
    """Where absent, the run's `vllm`, whose GPU memory is divided by the models that share it."""

    @property
    def role(self) -> str:
        """Name of its role."""
        return f"{POLICIES}{self.name}"


class Member(NamedModel):
    """One more judge of a panel. The run's judge is its first member, by the name `judge`."""

    name: Id
    """Its name in votes and weights."""
    model: str
    """As `judge`; for methods: [reward] a sequence classifier with one label."""
    engine: EngineName | None = None
    """What runs it; the run's `engine` where absent. A reward model runs in transformers."""
    methods: Methods = ("compare",)
    """How this judge is asked; every method votes."""
    methods_of: dict[str, Methods] = Field(default_factory=dict)
    """Principle id -> its own methods, in place of `methods`."""
    principles: tuple[str, ...] = ()
    """Ids of those it judges; all where empty."""

    @property
    def all_methods(self) -> set[str]:
        """Every method it is asked by under some principle."""
        return {*self.methods, *chain(*self.methods_of.values())}

    @property
    def rewards(self) -> bool:
        """True for a reward model: it grades, and writes nothing."""
        return "reward" in self.all_methods

    @model_validator(mode="after")
    def _possible(self) -> Member:
        if self.name in (MAIN, POLICY):
            raise invalid(f"{self.name!r} is the run's own {self.name}", fix="choose another name", key="name")
        if not self.rewards:
            return self
        if self.all_methods != {"reward"}:
            got = ", ".join([*self.methods, *chain(*self.methods_of.values())])
            raise invalid(f"got {got}; a reward model does nothing else", "[reward] alone", key="methods")
        if self.endpoints:
            fix = "leave them out, a reward model runs in this process"
            raise invalid("servers give no rewards", fix=fix, key="endpoints")
        if self.engine not in (None, "transformers", "replay"):
            got = f"got {self.engine!r}, and a reward model runs in transformers"
            raise invalid(got, fix="leave it out", key="engine")
        if self.vllm:
            raise invalid("is not read: a reward model runs in transformers", fix="leave it out", key="vllm")
        return self


class Role(NamedTuple):
    """One model and what runs it."""

    model: str
    engine: EngineName
    """`endpoint` where servers run it."""
    endpoints: Servers
    """Its servers; none for the other engines."""
    vllm: VLLMSettings
    chat_template_kwargs: dict[str, JsonValue]
    answer_prefix: str
    rewards: bool = False
    """It is a reward model: it grades and writes nothing."""

    @property
    def is_function(self) -> bool:
        """True for a function of the caller's own, which no engine runs."""
        return self.model.startswith(PREFIX)

    @property
    def messages(self) -> bool:
        """True where a server is sent messages, and renders the chat template itself."""
        return bool(self.endpoints) and not self.endpoints[0].token_ids


class RoleSettings(Strict):
    """Models, and what runs them. A role with servers of its own runs there; the others run in `engine`."""

    policy: str = "embedded"
    """The model whose responses are improved: `embedded`, a local folder, or a hub id (a served name for endpoints)."""
    policies: tuple[SampledModel, ...] = ()
    """Several policies in place of the one: each writes its share of every prompt's samples."""
    judge: str = ""
    """The model that critiques, revises and compares; the policy itself where empty, unless there are several."""
    endpoints: Servers = ()
    """Servers of the policy, which runs there where any are given; several are used as one pool."""
    judge_endpoints: Servers = ()
    """Servers of the judge, which runs there where any are given."""
    engine: EngineName = Field(default_factory=engine_beside)
    """What runs a model that has no servers of its own: vllm, transformers, replay (answers are made up), or endpoint, the servers
    of `endpoints`. Where it is not given: endpoint where there are `endpoints`, else vllm where installed, else transformers."""
    judge_engine: EngineName | None = None
    """What runs the judge, where that is neither `judge_endpoints` nor `engine`."""
    panel: tuple[Member, ...] = ()
    """More judges, which vote beside the judge."""
    vllm: VLLMSettings = VLLMSettings()
    """Settings of vLLM, for models it runs here."""
    judge_vllm: VLLMSettings | None = None
    """Settings of a judge that vLLM runs beside the policy. Where absent, both have `vllm` with half its GPU memory."""
    transformers: TransformersSettings = TransformersSettings()
    """Settings of the transformers engine."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """What the policy's chat template is told, as {enable_thinking: false}. A server of messages has a setting of its own."""
    answer_prefix: str = ""
    """What the policy's answers begin with: text after the generation prompt, as "<think>\\n\\n</think>\\n\\n" for no thoughts."""
    judge_chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """The same of a judge that is another model. Labels are read after closed thoughts, whatever the template opens."""
    judge_answer_prefix: str = ""
    """The same of a judge that is another model."""
    replay_latency: float = Field(default=0.0, ge=0)
    """Seconds each call of the replay engine takes."""
    cluster: ClusterSettings = ClusterSettings()
    """What a run on Ray asks the cluster for."""

    @property
    def judge_model(self) -> str:
        """The judge's model; the policy's where none is named."""
        return self.judge or self.policy

    @property
    def one_model(self) -> bool:
        """True where the judge is the policy itself, and runs where that does."""
        apart = self.judge_endpoints or self.judge_engine or self.judge_chat_template_kwargs or self.judge_answer_prefix
        return self.judge_model == self.policy and not (apart or self.policies)

    def roles(self) -> dict[str, Role]:
        """Every role by its name: POLICY or those that begin with POLICIES, MAIN, and those of the panel. Of one model POLICY and
        MAIN are equal.
        """
        found = self._sampled_side_by_side() if self.policies else self._sampled_and_judge()
        for m in self.panel:
            role = self._role(m)
            if m.rewards:
                engine: EngineName = "replay" if role.engine == "replay" else "transformers"
                role = role._replace(engine=engine, endpoints=(), rewards=True)
            found[m.name] = role
        return found

    def _sampled_and_judge(self) -> dict[str, Role]:
        servers = self.endpoints if self.engine == "endpoint" or self.endpoints else ()
        engine: EngineName = "endpoint" if servers else self.engine
        policy = Role(self.policy, engine, servers, self.vllm, self.chat_template_kwargs, self.answer_prefix)
        judge = policy
        if not self.one_model:
            judge = self._judge()
            if self.judge_vllm is None and policy.engine == judge.engine != "endpoint":
                share = {"gpu_memory_utilization": self.vllm.gpu_memory_utilization / 2}
                halved = self.vllm.model_copy(update=share)
                policy, judge = policy._replace(vllm=halved), judge._replace(vllm=halved)
        return {POLICY: policy, MAIN: judge}

    def _sampled_side_by_side(self) -> dict[str, Role]:
        """The roles of several policies, and the judge's. Those that vLLM runs by the run's own settings divide its GPU memory."""
        found = {**{one.role: self._role(one) for one in self.policies}, MAIN: self._judge()}
        own = {one.role for one in self.policies if one.vllm} | ({MAIN} if self.judge_vllm else set())
        sharing = {name: role for name, role in found.items() if role.engine == "vllm" and name not in own}
        models = {(role.model, repr(role.chat_template_kwargs), role.answer_prefix) for role in sharing.values()}
        if len(models) > 1:
            share = {"gpu_memory_utilization": self.vllm.gpu_memory_utilization / len(models)}
            divided = self.vllm.model_copy(update=share)
            found |= {name: role._replace(vllm=divided) for name, role in sharing.items()}
        return found

    def _judge(self) -> Role:
        """A judge that is no policy."""
        engine, servers = self._run_by(self.judge_engine, self.judge_endpoints)
        told = self.judge_chat_template_kwargs, self.judge_answer_prefix
        return Role(self.judge_model, engine, servers, self.judge_vllm or self.vllm, *told)

    def _role(self, one: NamedModel) -> Role:
        engine, servers = self._run_by(one.engine, one.endpoints)
        return Role(one.model, engine, servers, one.vllm or self.vllm, one.chat_template_kwargs, one.answer_prefix)

    def _run_by(self, engine: EngineName | None, servers: Servers) -> tuple[EngineName, Servers]:
        """What runs a role with these settings of its own."""
        if servers:
            return "endpoint", servers
        engine = engine or self.engine
        return engine, self.endpoints if engine == "endpoint" else ()

    @model_validator(mode="after")
    def _servers(self) -> RoleSettings:
        for key, several in (("panel", self.panel), ("policies", self.policies)):
            names = [one.name for one in several]
            if len(set(names)) < len(names):
                raise invalid(f"got names {', '.join(names)}", "each once", key=key)
        if self.policies and not self.judge:
            raise invalid("got none, and there are several policies", fix="name the model that judges", key="judge")
        for name, role in self.roles().items():
            place = place_of(name)
            if role.engine == "endpoint" and not role.endpoints:
                setting = "engine" if name == POLICY or self.engine == "endpoint" else f"{place}engine"
                key = "endpoints" if self.engine == "endpoint" else f"{place}endpoints"
                raise invalid(f"got none, but {setting} is 'endpoint'", fix=_ADD, key=key)
        return self

    def judge_alone(self) -> Self:
        """The settings where nothing is sampled: the judge is the only model beside the panel, and has the machine to itself."""
        roles = self.roles()
        judge = roles[MAIN]
        members = ({"endpoints": roles[m.name].endpoints, "engine": _own_engine(m, roles)} for m in self.panel)
        changed = {
            "policy": judge.model,
            "policies": (),
            "judge": "",
            "endpoints": judge.endpoints,
            "judge_endpoints": (),
            "engine": judge.engine,
            "judge_engine": None,
            "vllm": self.judge_vllm or self.vllm,
            "judge_vllm": None,
            "chat_template_kwargs": judge.chat_template_kwargs,
            "answer_prefix": judge.answer_prefix,
            "judge_chat_template_kwargs": {},
            "judge_answer_prefix": "",
            "panel": tuple(m.model_copy(update=own) for m, own in zip(self.panel, members, strict=True)),
        }
        return self.model_copy(update=changed)


def _own_engine(member: Member, roles: dict[str, Role]) -> EngineName | None:
    """The engine that a member must name to run where it does."""
    engine = roles[member.name].engine
    return None if engine == "endpoint" else engine


def place_of(name: str) -> str:
    """What the keys of a role's settings begin with."""
    return f"{name}." if name.startswith(POLICIES) else {POLICY: "", MAIN: "judge_"}.get(name, f"panel.{name}.")
