"""The settings of PPO: what is rewarded, and how the policy follows it. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from constitution.records import Strict
from generation.config import EngineName, Member, Plan, RunConfig, default_engine, over_defaults
from generation.engines.endpoint import EndpointSettings
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLMSettings
from training.config import Training
from training.monitor.config import MonitorSettings

SourceWeight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PointwiseMethod = Literal["contrast", "score", "yesno"]
"""Judging methods that look at one reply by itself."""


class RulesReward(Strict):
    """The constitution's principles that a rule judges: the weighted share of them that a reply keeps, 0 to 1."""

    constitution: str
    """A YAML file; its principles that a model judges are left to `judge`."""
    weight: SourceWeight = 1.0


class ModelsReward(Strict):
    """Reward models, as `python -m training reward` makes them."""

    paths: tuple[str, ...] = Field(min_length=1)
    """Folders or hub ids. Every head of every model is a member of one ensemble."""
    pessimism: float = Field(default=0.0, ge=0)
    """The reward is the members' mean less so many of their standard deviations: what they disagree on is worth less."""
    weight: SourceWeight = 1.0
    transformers: TransformersSettings = TransformersSettings()


class JudgeReward(Strict):
    """A model that judges each reply under the principles of a constitution while the policy learns; log-odds."""

    constitution: str
    """A YAML file; its principles that a rule judges are left to `rules`."""
    model: str = "embedded"
    weight: SourceWeight = 1.0
    methods: tuple[PointwiseMethod, ...] = Field(default=("score",), min_length=1)
    """How it is asked under each principle; their answers are averaged. score: expected grade. yesno: log-odds of yes.
    contrast: likelihood of the reply under the principle against under its antithesis."""
    principles: int | None = Field(default=None, ge=1)
    """Judged principles, drawn for each prompt, that its replies are judged under; all where None."""
    panel: tuple[Member, ...] = ()
    """More judges, asked by methods that look at one reply; reward models among them."""
    engine: EngineName = Field(default_factory=default_engine)
    """What runs the judges; vllm where it is installed, else transformers."""
    in_flight: int = Field(default=512, ge=1)
    """Calls given to an engine at once."""
    vllm: VLLMSettings = VLLMSettings()
    transformers: TransformersSettings = TransformersSettings()
    endpoints: tuple[EndpointSettings, ...] = ()

    @model_validator(mode="after")
    def _one_by_one(self) -> JudgeReward:
        for member in self.panel:
            if wrong := sorted(member.all_methods & {"compare", "reasoned"}):
                raise ValueError(
                    f"panel.{member.name}.methods: got {', '.join(wrong)}, which judges pairs; allowed here are contrast, score, "
                    "yesno, or reward for a reward model"
                )
        self.run()
        return self

    def run(self) -> RunConfig:
        """The same as settings of a run, whose judge it is."""
        return RunConfig(
            policy=self.model,
            engine=self.engine,
            panel=self.panel,
            plan=Plan(methods=self.methods, principles=self.principles or 1 << 30),
            in_flight=self.in_flight,
            vllm=self.vllm,
            transformers=self.transformers,
            endpoints=self.endpoints,
        )


class Rewards(Strict):
    """Where a reply's reward comes from: the weighted sum of what is named."""

    rules: RulesReward | None = None
    models: ModelsReward | None = None
    judge: JudgeReward | None = None

    @model_validator(mode="after")
    def _some(self) -> Rewards:
        if not (self.rules or self.models or self.judge):
            raise ValueError(
                "got no source; name rules, models or judge, as in `--set reward.rules.constitution=FILE` or "
                "`--set reward.models.paths=[FOLDER]`"
            )
        return self


class KLControl(Strict):
    """What straying from the reference costs."""

    coefficient: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Reward that one nat of log π/π_ref takes off; where `target` is set, at first."""
    target: float | None = Field(default=None, gt=0)
    """Nats per reply that the coefficient is steered towards (Ziegler et al. 2019, arXiv:1909.08593); fixed where None."""
    horizon: float = Field(default=1000.0, gt=0)
    """Replies in which the coefficient may change by a fifth or so."""

    @model_validator(mode="after")
    def _steerable(self) -> KLControl:
        if self.target and not self.coefficient:
            raise ValueError(
                "coefficient: got 0 with a target, and 0 cannot be steered; start above 0, or leave target out"
            )
        return self


class SamplerSettings(Strict):
    """How replies are written."""

    engine: Literal["auto", "vllm", "generate"] = "auto"
    """auto: vllm where it is installed, there is a GPU, and one process trains; else generate. With generate the same seed writes
    the same replies."""
    max_tokens: int = Field(default=128, ge=1)
    """Most tokens of a reply."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Also of the policy that is trained: log-probabilities are those at this temperature."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Below 1 replies come from another distribution than the one that is trained; `mismatch` shows how far it is."""
    rows: int = Field(default=64, ge=1)
    """Most replies written at once, with generate; those to one prompt are written together in any case."""
    vllm: VLLMSettings = VLLMSettings(gpu_memory_utilization=0.3)

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, given: object) -> object:
        return over_defaults(cls, given)


class PPOMonitor(MonitorSettings):
    """What is measured of the replies to held-out prompts while the policy learns, and when that ends the run: a policy that a
    detector halts is put back to where gold was highest.
    """

    every: int | None = Field(default=None, ge=1)
    """Iterations between two checks; eval_every where None, and no checks where that is None too."""
    gold: Rewards | None = None
    """What the reward is to stand for, and is not itself trained on: rules, reward models of human labels, or a judge. It is asked
    about each reply to a held-out prompt."""
    reference: tuple[str, ...] = ()
    """What the reward models were trained on (as --data takes it): `novelty` is how far replies leave it."""

    @model_validator(mode="after")
    def _told_apart(self) -> PPOMonitor:
        if len(set(self.reference)) < len(self.reference):
            raise ValueError(f"reference: got {', '.join(self.reference)}; name each once")
        return self


_OF_OTHERS = {
    "critic": ("leave_one_out", "scale"),
    "group": ("whiten_rewards", "gamma", "lam", "critic", "critic_learning_rate", "critic_warmup"),
}
"""Baseline -> settings that it does not read. `value_clip` may be off with either."""


class PPO(Training):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) on the policy's own replies. A step is an iteration:
    replies are written, rewarded, and learnt from.
    """

    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Passes over the prompts."""
    steps: int | None = Field(default=None, ge=1)
    """Iterations in place of `epochs`."""
    prompts: int = Field(default=16, ge=1)
    """Prompts of one iteration, over all processes."""
    samples: int = Field(default=4, ge=1)
    """Replies to each."""
    passes: int = Field(default=1, ge=1)
    """Times that each iteration's replies are learnt from."""
    batch: int = Field(default=64, ge=1)
    """Replies of one optimizer step, over all processes; rounded to whole prompts."""
    micro_batch: int = Field(default=16, ge=1)
    """Replies that one process works on at once. It changes memory and speed, never the result."""
    learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """With `lora`, and where none is given, 10 times that."""
    schedule: Literal["linear", "cosine", "constant"] = "constant"
    save_every: int | None = Field(default=10, ge=1)
    """Iterations between two states that a killed run goes on from; none where None."""
    reward: Rewards
    sampler: SamplerSettings = SamplerSettings()
    kl: KLControl = KLControl()
    baseline: Literal["critic", "group"] = "critic"
    """What a reply is better than. critic: the value that a second model foresees at each token. group: the other replies to the
    prompt; no second model."""
    leave_one_out: bool = True
    """group: the mean of the other replies alone (arXiv:2402.14740), not of all (arXiv:2402.03300)."""
    scale: bool = False
    """group: divide by the group's standard deviation."""
    whiten_rewards: bool = False
    """Divide rewards per token by their standard deviation over the iteration; critic only."""
    whiten_advantages: bool = True
    """Advantages have mean 0 and variance 1 over the iteration."""
    reward_clip: float | None = Field(default=None, gt=0)
    """Scores are held within plus and minus this."""
    missing_end_penalty: float = Field(default=0.0, ge=0)
    """Taken off the score of a reply that was cut before it ended."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Ratios π/π_old beyond 1 ± clip gain nothing."""
    clip_high: float | None = Field(default=None, gt=0)
    """Upper bound of its own (arXiv:2503.14476)."""
    entropy: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus, per token."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    lam: float = Field(default=0.95, ge=0, le=1)
    """λ of generalised advantage estimation (arXiv:1506.02438)."""
    critic: str | None = None
    """The critic's model. None: the first of reward.models where its tokens are the policy's, else the policy with a zero head."""
    critic_learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    critic_warmup: int = Field(default=0, ge=0)
    """First iterations, in which the critic learns alone."""
    value_clip: float | None = Field(default=0.2, gt=0)
    """How far a value may move from the old one within an iteration; unbounded where None."""
    evaluated: int = Field(default=64, ge=1)
    """Most held-out prompts that an evaluation writes a reply to."""
    monitor: PPOMonitor = PPOMonitor()
    """Tells improvement from a reward that is gamed."""

    @model_validator(mode="after")
    def _ppo_possible(self) -> PPO:
        if self.baseline == "group" and self.samples < 2:
            raise ValueError(
                f"samples: got {self.samples}; baseline: group compares replies to one prompt, set 2 or more"
            )
        if self.best or self.patience:
            raise ValueError("best, patience: PPO has no loss to go by; keep the last model")
        if not self.check_every and (self.monitor.gold or self.monitor.reference):
            raise ValueError("monitor: got gold or reference, and no check is due; set monitor.every, or eval_every")
        unread = {
            "truncated: got drop": self.truncated == "drop",
            "bucket: got false": not self.bucket,
            "lora.dropout: got more than 0": self.lora is not None and self.lora.dropout > 0,
            "data: got a weight other than 1": any(weight != 1 for weight in self.data.values()),
        }
        if told := [said for said, given in unread.items() if given]:
            raise ValueError(
                f"{'; '.join(told)}: PPO writes its own replies, to each prompt alike and without dropout; leave it out"
            )
        fields = type(self).model_fields
        if told := [
            f"{name}: got {given}"
            for name in _OF_OTHERS[self.baseline]
            if (given := getattr(self, name)) != fields[name].default
        ]:
            raise ValueError(f"{'; '.join(told)}: baseline: {self.baseline} does not read it; leave it out")
        return self

    @property
    def check_every(self) -> int | None:
        """Iterations between two looks of the monitor; None where it never looks."""
        return self.monitor.every or self.eval_every
