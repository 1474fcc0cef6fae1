"""What is rewarded, and how responses are sampled, as settings. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from constitution.errors import invalid, problems_of, shown, suggest
from constitution.records import Strict
from critics.methods import CHOICES, METHODS
from critics.ranking.aggregate import PositionInconsistent
from critics.ranking.kinds import Schedule
from generation.config import Plan, RunConfig
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLMSettings
from generation.reads import ReadIf
from generation.roles import EngineName, Member, Methods, engine_beside
from generation.servers.settings import Servers
from generation.settings import over_defaults

SourceWeight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


ALL = 1 << 30
"""Principles: all there are."""
ENGINE_SETTINGS = ("endpoints", "engine", "vllm", "transformers")
"""Settings of what runs a model. A run's settings tell those that were given from those that were not."""


def check_run(run: Callable[[], RunConfig]) -> None:
    """For validators of settings that stand for those of a run: raise its problem as their own."""
    try:
        run()
    except ValidationError as error:
        problem = problems_of(error, RunConfig)[0]
        raise invalid(problem.got, problem.allowed, problem.fix, problem.key.removeprefix("plan.")) from None


def _pointwise(name: str) -> str:
    if name not in POINTWISE:
        raise invalid(f"got {shown(name)}{suggest(name, POINTWISE)}", ", ".join(POINTWISE))
    return name


POINTWISE = tuple(name for name in CHOICES if not METHODS[name].pairwise and name != "reward")
PointwiseMethod = Annotated[str, AfterValidator(_pointwise), Field(json_schema_extra={"enum": [*POINTWISE]})]
"""A judging method by which a model that writes looks at one response by itself."""


class RulesReward(Strict):
    """Principles with a rule (`check`): the weighted share that a response satisfies, 0 to 1."""

    constitution: str
    """A YAML file; principles without a rule are ignored here, `judge` can use them."""
    weight: SourceWeight = 1.0
    """Weight of this source in the sum."""


class ModelsReward(Strict):
    """Reward models, as `python -m training reward` makes them."""

    paths: tuple[str, ...] = Field(min_length=1)
    """Folders or hub ids. Every head of every model is a member of one ensemble."""
    pessimism: float = Field(default=0.0, ge=0)
    """The reward is the mean of the members minus this many of their standard deviations."""
    weight: SourceWeight = 1.0
    """Weight of this source in the sum."""
    transformers: TransformersSettings = TransformersSettings()
    """Settings of the engine that runs the reward models."""


class JudgeSettings(Strict):
    """Who judges responses during training, under which constitution."""

    constitution: str
    """A YAML file. `judge` ignores principles with a rule, which `rules` can use; `compare` asks those too."""
    model: str = "embedded"
    """`embedded`, a local folder or a hub id."""
    weight: SourceWeight = 1.0
    """Weight of this source in the sum."""
    principles: int | None = Field(default=None, ge=1)
    """Judged principles, drawn at random for each prompt, under which its responses are judged; all if None."""
    panel: tuple[Member, ...] = ()
    """More judges, such as reward models; those of `judge` look at one response alone."""
    endpoints: Servers = ()
    """Servers of the judge, which runs there where any are given."""
    engine: EngineName = Field(default_factory=engine_beside)
    """What runs judges that have no servers of their own; vllm where it is installed, else transformers."""
    calls_in_flight: int = Field(default=512, ge=1)
    """Calls given to an engine at once."""
    vllm: VLLMSettings = VLLMSettings()
    """Settings of vLLM, where it is the engine."""
    transformers: TransformersSettings = TransformersSettings()
    """Settings of the transformers engine, where it is the engine."""

    def run_with(self, plan: Plan) -> RunConfig:
        """The same as settings of a run with this plan, whose judge it is."""
        return RunConfig(
            policy=self.model,
            panel=self.panel,
            plan=plan,
            calls_in_flight=self.calls_in_flight,
            **{name: getattr(self, name) for name in ENGINE_SETTINGS if name in self.model_fields_set},
        )


class JudgeReward(JudgeSettings):
    """A model that judges each response under the principles of a constitution during training; the reward is in log-odds."""

    methods: tuple[PointwiseMethod, ...] = Field(default=("score",), min_length=1)
    """Judging methods under each principle; their answers are averaged. score: expected grade. yesno: log-odds of yes.
    contrast: likelihood of the response under the principle minus that under its antithesis. likelihood: that under the principle
    alone. relevance: that minus the one without the conversation."""

    @model_validator(mode="after")
    def _one_by_one(self) -> JudgeReward:
        for member in self.panel:
            if wrong := sorted(name for name in member.all_methods if METHODS[name].pairwise):
                allowed = f"{', '.join(POINTWISE)}, or reward for a reward model"
                key = f"panel.{member.name}.methods"
                raise invalid(f"got {', '.join(wrong)}, which judges pairs", allowed, key=key)
        check_run(self.run)
        return self

    def run(self) -> RunConfig:
        """The same as settings of a run, whose judge it is."""
        return self.run_with(Plan(methods=self.methods, principles=self.principles or ALL))


class CompareReward(JudgeSettings):
    """A panel that compares the responses to a prompt with each other, under every principle and in both orders, as a run labels
    pairs. A response is worth what it is against the others, in log-odds; a vote that is missing says nothing of either."""

    methods: Methods = ("compare",)
    """Judging methods under each principle, as plan.methods of a run: compare and reasoned look at pairs, the others at each
    response."""
    worth: Literal["bradley_terry", "mean"] = "bradley_terry"
    """What the comparisons come to. bradley_terry: strengths, as a run ranks candidates, which are never infinite and fill in for
    pairs that nobody judged. mean: the mean log-odds against the others."""
    schedule: Schedule = "all"
    """Which responses are compared: all pairs, or rounds of swiss, knockout or adaptive by uncertainty."""
    comparisons: int | None = Field(default=None, ge=1)
    """Maximum comparisons of a swiss or adaptive schedule for one prompt."""
    position_inconsistent: PositionInconsistent = "keep"
    """How a vote counts whose judge prefers the same position in both orders: keep, half, drop."""

    @model_validator(mode="after")
    def _of_pairs(self) -> CompareReward:
        check_run(self.run)
        return self

    def run(self) -> RunConfig:
        """The same as settings of a run, whose judge it is."""
        given = {name for name in ("comparisons", "position_inconsistent") if name in self.model_fields_set}
        plan = Plan(
            methods=self.methods,
            principles=self.principles or ALL,
            pairs="all_pairs",
            schedule=self.schedule,
            **{name: getattr(self, name) for name in given},
        )
        return self.run_with(plan)


class Rewards(Strict):
    """Sources of the reward; it is their weighted sum."""

    rules: RulesReward | None = None
    """Principles with a `check`."""
    models: ModelsReward | None = None
    """Trained reward models."""
    judge: JudgeReward | None = None
    """A model that judges each response by itself under the constitution."""
    compare: CompareReward | None = None
    """A panel that compares the responses to a prompt with each other under the constitution."""

    @model_validator(mode="after")
    def _some(self) -> Rewards:
        if not (self.rules or self.models or self.judge or self.compare):
            example = "`--set reward.rules.constitution=FILE` or `--set reward.models.paths=[FOLDER]`"
            raise invalid("no source is configured", fix=f"set rules, models, judge or compare, as in {example}")
        return self


_SAMPLED_BY_VLLM = ReadIf("engine is vllm or auto", lambda sampler, _: sampler.engine != "generate")
_GENERATED = ReadIf("engine is generate or auto", lambda sampler, _: sampler.engine != "vllm")


class SamplerSettings(Strict):
    """How responses are sampled."""

    engine: Literal["auto", "vllm", "generate"] = "auto"
    """auto: vllm if it is installed, there is a GPU, and one process trains; else generate. generate is deterministic for a
    seed."""
    max_tokens: int = Field(default=128, ge=1)
    """Maximum tokens of a response."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Temperature of sampling and of the trained policy: log-probabilities are computed at this temperature."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Below 1, responses are sampled from another distribution than the trained one; `mismatch` measures the difference."""
    responses_in_flight: Annotated[int, _GENERATED] = Field(default=64, ge=1)
    """Maximum responses sampled at once by generate; responses to one prompt are always sampled together."""
    vllm: Annotated[VLLMSettings, _SAMPLED_BY_VLLM] = VLLMSettings(gpu_memory_utilization=0.3)
    """Settings of vLLM, where it is the engine; training needs the rest of the GPU's memory."""

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, given: object) -> object:
        return over_defaults(cls, given)
