"""The settings of a run; `generation/settings.py` reads them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import chain
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from constitution.digest import digest
from constitution.errors import invalid, shown, suggest
from constitution.principles import Id
from constitution.records import MAIN, Strict
from critics.methods import METHODS
from critics.ranking.aggregate import PositionInconsistent
from critics.ranking.kinds import Schedule, Strategy
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLMSettings
from generation.servers.settings import Servers

EngineName = Literal["vllm", "transformers", "endpoint", "replay"]
ENGINES: tuple[EngineName, ...] = ("vllm", "transformers", "endpoint", "replay")
EXAMPLE = "plan.samples=4"
"""A setting, as messages and help show it."""


class Decoding(Strict):
    """How one stage's text is sampled."""

    max_tokens: int = Field(gt=0)
    """Most tokens of one completion."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 takes the likeliest token, 1 samples from the model's own distribution."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample from the likeliest tokens that together have this probability."""


def _known(name: str) -> str:
    if name not in METHODS:
        raise invalid(f"got {shown(name)}{suggest(name, METHODS)}", ", ".join(METHODS))
    return name


MethodName = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*METHODS]})]
"""A judging method that asks a model; the constitution's rules are judged without one."""


def _once(methods: tuple[MethodName, ...]) -> tuple[MethodName, ...]:
    if len(set(methods)) < len(methods):
        raise invalid(f"got {', '.join(methods)}", "each method once")
    return methods


Methods = Annotated[tuple[MethodName, ...], Field(min_length=1), AfterValidator(_once)]


def over_defaults(kind: type[BaseModel], given: object) -> object:
    """What is given for a model, with groups of settings laid over the model's own defaults: to name one setting of a group leaves
    the others as they are, also where the model's default of the group is another than the group's own.
    """
    if not isinstance(given, dict):
        return given
    defaults = {name: kind.model_fields[name].default for name in given if name in kind.model_fields}
    return {
        name: {**defaults[name].model_dump(), **value}
        if isinstance(value, dict) and isinstance(defaults.get(name), BaseModel)
        else value
        for name, value in given.items()
    }


class Defences(Strict):
    """Protection against responses that try to manipulate the judge."""

    nonce: bool = True
    """The delimiters around conversations and responses contain a nonce that no text can predict."""
    manipulation: Literal["keep", "drop"] = "keep"
    """`drop`: a response with a manipulation indicator (critics/text/manipulation.py) is not compared, and so gets no label."""


class Plan(Strict):
    """What is done with each prompt. The number of calls grows with samples, rounds, principles and pairs; `--plan` counts them."""

    samples: int = Field(default=2, ge=1, le=64)
    """Responses sampled from the policy for each prompt."""
    system_hint: str = ""
    """A system message under which responses are sampled and which the data does not contain: the policy learns to do without it
    what it could do with it (context distillation: Askell et al. 2021, arXiv:2112.00861)."""
    hinted_samples: int = Field(default=1, ge=1)
    """How many of the samples are drawn under the system hint; the others are drawn without it."""
    rounds: int = Field(default=1, ge=0, le=8)
    """Maximum rounds of critique and revision; a critique that finds no issue ends them."""
    critics: int = Field(default=1, ge=1)
    """Critiques of each response in each round, each under another principle, drawn at random; a large number means all."""
    principles: int = Field(default=4, ge=1)
    """Judged principles, drawn at random for each prompt, under which responses are compared; a large number means all."""
    methods: Methods = ("compare",)
    """Judging methods; each gives a vote under each principle. compare: which of two, by the log-probabilities of the labels in
    both orders. reasoned: the same after reasoning. contrast: likelihood of the response under the principle minus that under its
    antithesis. score: expected grade. yesno: log-odds of yes."""
    methods_of: dict[str, Methods] = Field(default_factory=dict)
    """Principle id -> its own methods, in place of `methods`."""
    clamp: tuple[float, float] = (0.4, 0.6)
    """Probabilities of reasoned verdicts are clamped to this range; (0.4, 0.6) as in the Constitutional AI paper."""
    position_inconsistent: PositionInconsistent = "keep"
    """How a position-inconsistent vote counts, i.e. one whose judge prefers the same position in both orders: keep, half, drop."""
    early_stop_error: float = Field(default=0.0, ge=0, lt=0.5)
    """Sequential testing: query voters one after the other, the most informative first, and stop once the rest would change the
    label with at most this probability. 0 queries all. Needs --weights."""
    schedule: Schedule = "all"
    """Which candidates are compared: all pairs, or rounds of swiss, knockout or adaptive by uncertainty."""
    comparisons: int | None = Field(default=None, ge=1)
    """Maximum comparisons of a swiss or adaptive schedule for one prompt."""
    defences: Defences = Defences()
    """Protection of judges against manipulation."""
    controls: int = Field(default=8, ge=0)
    """Control pairs, whose answer is known, that are judged in the run to measure the judge."""
    pairs: Strategy = "best_worst"
    """Which pairs to train on: best against worst, neighbours in the ranking, each revision against its original, or all beyond
    min_log_odds."""
    min_log_odds: float = Field(default=0.0, ge=0)
    """Pairs whose log-odds are closer to 0 than this are dropped and counted. Ties (0) always are."""
    keep_truncated: bool = False
    """Keep sampled responses that max_tokens cut. They are marked, and training adds no end of turn to them. If they are dropped, a
    policy with long responses is compared by its short ones alone."""
    sample: Decoding = Decoding(max_tokens=512, temperature=1.0)
    """How the policy's responses are sampled."""
    critique: Decoding = Decoding(max_tokens=256)
    """How critiques are written."""
    revise: Decoding = Decoding(max_tokens=768)
    """How revisions are written."""
    reason: Decoding = Decoding(max_tokens=256)
    """The judge's reasoning before a reasoned verdict; if max_tokens cuts it, the verdict is asked for anyway."""
    verdict_samples: int = Field(default=4, ge=1, le=64)
    """How often a judge whose server gives no log-probabilities is asked for one judgement, in each order. Its probability is the
    smoothed share of the answers, so more answers give a finer resolution."""
    verdict: Decoding = Decoding(max_tokens=1024, temperature=1.0)
    """Sampling of such a judgement. At temperature 0 all answers would be equal, so it is asked only once."""
    seed: int = Field(default=0, ge=0)
    """Seed of the run; every call's own seed is derived from it."""

    @property
    def verdict_answers(self) -> int:
        """Answers that make one judgement of a judge without log-probabilities."""
        return self.verdict_samples if self.verdict.temperature else 1

    @property
    def all_methods(self) -> set[str]:
        """Every method the judge is asked by under some principle."""
        return {*self.methods, *chain(*self.methods_of.values())}

    def judging(self) -> str:
        """Digest of the settings that change what a vote says or counts, beside the methods that are in its voter's name."""
        written = [self.verdict_samples, self.verdict.model_dump()]
        kept = [self.position_inconsistent, self.clamp, self.reason.model_dump(), self.defences.nonce, written]
        return digest(json.dumps(kept))

    @model_validator(mode="after")
    def _hints(self) -> Plan:
        if not self.system_hint and self.hinted_samples != 1:
            got = f"got {self.hinted_samples}, but there is no system_hint"
            raise invalid(got, fix="give one, or leave hinted_samples out", key="hinted_samples")
        return self

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, given: object) -> object:
        return over_defaults(cls, given)

    @model_validator(mode="after")
    def _judging(self) -> Plan:
        low, high = self.clamp
        if not 0 < low < 0.5 < high < 1:
            raise invalid(f"got [{low}, {high}]", "a band around 0.5 within (0, 1), as in [0.4, 0.6]", key="clamp")
        for place, methods in {
            "methods": self.methods,
            **{f"methods_of.{name}": methods for name, methods in self.methods_of.items()},
        }.items():
            if "reward" in methods:
                fix = "name a reward model in `panel:` with methods: [reward]"
                raise invalid("got reward, which the judge cannot do", fix=fix, key=place)
        return self


def default_engine() -> EngineName:
    """vllm where it is installed, else transformers."""
    return "vllm" if find_spec("vllm") else "transformers"


class Member(Strict):
    """One more judge of a panel. The run's judge is its first member, by the name `judge`."""

    name: Id
    """Its name in votes and weights."""
    model: str
    """As `judge`; for methods: [reward] a sequence classifier with one label."""
    methods: Methods = ("compare",)
    """How this judge is asked; every method votes."""
    methods_of: dict[str, Methods] = Field(default_factory=dict)
    """Principle id -> its own methods, in place of `methods`."""
    principles: tuple[str, ...] = ()
    """Ids of those it judges; all where empty."""
    vllm: VLLMSettings | None = None
    """The run's `vllm` where absent. Models that share a GPU must share its memory: set gpu_memory_utilization for each."""
    endpoints: Servers = ()
    """Its servers, whatever runs the other models."""

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
        if self.name == MAIN:
            raise invalid(f"{MAIN!r} is the run's own judge", fix="choose another name", key="name")
        if self.rewards and self.all_methods != {"reward"}:
            got = ", ".join([*self.methods, *chain(*self.methods_of.values())])
            raise invalid(f"got {got}; a reward model does nothing else", "[reward] alone", key="methods")
        if self.rewards and self.endpoints:
            fix = "leave them out, a reward model runs in this process"
            raise invalid("servers give no rewards", fix=fix, key="endpoints")
        return self


class RunConfig(Strict):
    """Everything that can be set for a run."""

    policy: str = "embedded"
    """The model whose responses are improved: `embedded`, a local folder, or a hub id (a served name for endpoints)."""
    judge: str = ""
    """The model that critiques, revises and compares; the policy itself where empty."""
    engine: EngineName = Field(default_factory=default_engine)
    """What runs the models; vllm where it is installed, else transformers."""
    panel: tuple[Member, ...] = ()
    """More judges, which vote beside the judge."""
    plan: Plan = Plan()
    """What is made of each prompt."""
    test_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of prompts whose pairs go to the test split."""
    license: str = "unknown"
    """License field of the dataset card. Fill it in yourself: it depends on prompts and models."""
    max_failed: float = Field(default=0.2, ge=0, le=1)
    """Maximum share of prompts that may fail; if more do, the command's exit code is 1."""
    prompts_in_flight: int = Field(default=256, ge=1)
    """Prompts worked on at once."""
    calls_in_flight: int = Field(default=512, ge=1)
    """Calls given to an engine at once."""
    vllm: VLLMSettings = VLLMSettings()
    """Settings of vLLM, for models it runs here."""
    judge_vllm: VLLMSettings | None = None
    """vLLM settings of a judge that is another model than the policy. If absent, both use `vllm` with half its GPU memory."""
    transformers: TransformersSettings = TransformersSettings()
    """Settings of the transformers engine."""
    endpoints: Servers = ()
    """Servers of the policy, for `--engine endpoint`; several are used as one pool."""
    judge_endpoints: Servers = ()
    """Servers of the judge; those of the policy where empty."""
    replay_latency: float = Field(default=0.0, ge=0)
    """Seconds each call of the replay engine takes."""

    @model_validator(mode="after")
    def _servers(self) -> RunConfig:
        if self.engine == "endpoint" and not self.endpoints:
            fix = "add `endpoints: [{url: http://host:8000}]`"
            raise invalid("got none, but engine is 'endpoint'", fix=fix, key="endpoints")
        return self

    @model_validator(mode="after")
    def _panel(self) -> RunConfig:
        names = [member.name for member in self.panel]
        if len(set(names)) < len(names):
            raise invalid(f"got names {', '.join(names)}", "each once", key="panel")
        asked = [(member.name, member.endpoints, member.all_methods) for member in self.panel]
        if self.engine == "endpoint":
            asked.append((MAIN, self.judge_endpoints or self.endpoints, self.plan.all_methods))
            missing = [m for m in self.panel if not (m.endpoints or m.rewards)]
            if missing:
                key = f"panel.{missing[0].name}.endpoints"
                raise invalid("got none, but engine is 'endpoint'", fix="name its servers", key=key)
        for name, servers, methods in asked:
            if "contrast" in methods and not all(server.token_ids for server in servers):
                key = "plan.methods" if name == MAIN else f"panel.{name}.methods"
                got = "contrast needs the log-probabilities of given tokens, which chat servers do not tell"
                raise invalid(got, fix="use a vLLM server with token_ids: true, or other methods", key=key)
        return self

    @property
    def judge_model(self) -> str:
        """The judge's model; the policy's where none is named."""
        return self.judge or self.policy

    def results(self) -> dict[str, object]:
        """The settings that change what is made. The rest (memory, concurrency) may change between restarts."""
        kept = self.model_dump(mode="json", include={"policy", "judge", "plan", "test_fraction", "license"})
        panel = [member.model_dump(mode="json", exclude={"vllm", "endpoints"}) for member in self.panel]
        return {**kept, "judge": self.judge_model, **({"panel": panel} if panel else {})}
