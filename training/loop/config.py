"""The settings of the loop: phases of training, what decides whether a round is kept. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from constitution.errors import invalid
from constitution.records import Strict
from generation.config import RunConfig
from generation.reads import ReadIf, check_read
from generation.roles import POLICY
from training.best_of.config import BestOf
from training.config import Training
from training.loop.gates import Gates
from training.monitor.config import MonitorSettings
from training.ppo.config import PPO
from training.recipes.config import DPO, SFT, Reward

RETRAINED = "retrained"
"""Among the `paths` of a phase's reward models: the one that the loop trains for the round."""


class _Phase(Strict):
    """Rounds of one recipe."""

    rounds: int = Field(default=1, ge=1)
    """Rounds of this phase."""
    fresh: bool = True
    """Each round gets pairs of the policy it starts from. False: it trains on the pairs that are there."""
    older: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Weight of the pairs of each earlier round beside the newest ones, which count 1; 0 leaves them out."""

    @model_validator(mode="after")
    def _the_loops_own(self) -> _Phase:
        for name in ("training", "reward"):
            settings = getattr(self, name, None)
            ours = {"data", *({"model"} if name == "training" else ())}
            taken = sorted(ours & settings.model_fields_set) if settings else []
            if taken:
                raise invalid("the loop sets it for each round", fix="leave it out", key=f"{name}.{taken[0]}")
            if settings and settings.lora and not settings.lora.merge:
                got = "got false, and the next step needs an ordinary checkpoint"
                raise invalid(got, fix="leave it out", key=f"{name}.lora.merge")
        return self

    @property
    def settings(self) -> Training:
        """Those of the phase's recipe."""
        found: Training = getattr(self, "training")  # noqa: B009 - each kind of phase declares its own
        return found

    @property
    def needs_pairs(self) -> bool:
        """Whether something in it trains on pairs or revisions."""
        return True


class SFTPhase(_Phase):
    """Imitates the run's accepted revisions: the supervised phase of Constitutional AI."""

    recipe: Literal["sft"]
    """Supervised fine-tuning on the best responses."""
    training: SFT = SFT()
    """Settings of the training, but for its model, data and folder."""


class DPOPhase(_Phase):
    """Trains on pairs. Its reference is the policy that the round starts from; the evaluation measures KL from the base."""

    recipe: Literal["dpo"]
    """Direct preference optimization on the pairs."""
    training: DPO = DPO()
    """Settings of the training, but for its model, data and folder."""


class _RewardPhase(_Phase):
    """Trains on rewards, of a reward model that is trained anew for each round if `reward` is there."""

    reward: Reward | None = None
    """Settings of `python -m training reward`; its `model` is the loop's where none is named."""

    @model_validator(mode="before")
    @classmethod
    def _rewarded_by_it(cls, given: Any) -> Any:
        """Where a reward model is trained and no reward is named, that model is the reward."""
        if not isinstance(given, dict) or given.get("reward") is None:
            return given
        training = given.get("training", {})
        if not isinstance(training, dict) or "reward" in training:
            return given
        return {**given, "training": {**training, "reward": {"models": {"paths": [RETRAINED]}}}}

    @model_validator(mode="after")
    def _retrained(self) -> _RewardPhase:
        models = getattr(self.settings, "reward").models  # noqa: B009 - likewise
        named = models is not None and RETRAINED in models.paths
        if named and self.reward is None:
            got = f"got {RETRAINED}, which stands for the reward model of `reward`"
            fix = "add `reward: {}` to the phase, or name a folder"
            raise invalid(got, fix=fix, key="training.reward.models.paths")
        if self.reward is not None and not named:
            got = "a reward model is trained, but not used as a reward"
            fix = f"add {RETRAINED} to training.reward.models.paths, or leave it out"
            raise invalid(got, fix=fix, key="reward")
        if self.reward is None and (unread := sorted({"fresh", "older"} & self.model_fields_set)):
            got = "says which pairs are trained on, and without `reward` none are"
            raise invalid(got, fix="leave it out", key=unread[0])
        return self

    @property
    def needs_pairs(self) -> bool:
        """For a reward model alone."""
        return self.reward is not None


class PPOPhase(_RewardPhase):
    """Trains on the policy's own responses to the round's prompts, as they are rewarded."""

    recipe: Literal["ppo"]
    """Proximal policy optimization against a reward."""
    training: PPO
    """Settings of the training, but for its model, data and folder."""


class BestOfPhase(_RewardPhase):
    """Imitates the best of several responses of the policy's own."""

    recipe: Literal["best_of"]
    """Fine-tuning on the best of n responses."""
    training: BestOf
    """Settings of the training, but for its model, data and folder."""

    @model_validator(mode="after")
    def _sampled_here(self) -> BestOfPhase:
        _local(self.training.sampler.run("", 0, 1), "training.sampler.", "training.reward.judge.endpoints")
        return self


Phase = Annotated[SFTPhase | DPOPhase | PPOPhase | BestOfPhase, Field(discriminator="recipe")]


class EvaluationConfig(Strict):
    """How each round's policy is compared with the base: `python -m evaluation policy`."""

    prompts: str
    """Held-out prompts, none of which the loop trains on."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Field -> the column of the prompts that holds it, where that has another name, as in `prompt: question`."""
    constitution: str = ""
    """What judges; the loop's where empty."""
    judge: str = ""
    """The model that judges; the loop's base model where empty."""
    gold: str = ""
    """Held-out constitution, against which nothing is trained; its win rate is reported next to the proxy's."""
    weights: str = ""
    """Fitted weights of votes."""
    held_out: tuple[str, ...] = ()
    """Principles and judges that have no vote here; `trained` stands for all that the policy was trained against."""
    refusals: str = ""
    """JSONL with `prompt` and `label` (safe, unsafe), in place of our own prompts on which refusals are counted."""
    refusal_columns: dict[str, str] = Field(default_factory=dict)
    """Field -> its column in `refusals`, likewise."""
    probes: bool = True
    """Count refusals, and ask the probes for sycophancy and confidence."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most so many prompts."""
    prompts_per_attempt: int | None = Field(default=None, ge=1)
    """So many held-out prompts in each evaluation: a second attempt at a round, and each further one, is judged by prompts that no
    attempt at that round was judged by. All of them in each where None."""
    seed: int = Field(default=0, ge=0)
    """Seeds the sampling of the evaluated responses."""
    settings: RunConfig = RunConfig()
    """As of a run: how responses are written and judged, and by what engine."""

    @model_validator(mode="after")
    def _the_loops_own(self) -> EvaluationConfig:
        if self.refusals and not self.probes:
            raise invalid("is not read with probes: false", fix="leave one of them out", key="refusals")
        if self.refusal_columns and not self.refusals:
            fix = "give it, or leave this out"
            raise invalid("names columns of `refusals`, which is not given", fix=fix, key="refusal_columns")
        _refuse(
            self.settings,
            "settings.",
            {"policy": "leave it out", "policies": "leave it out", "judge": "name it in evaluation.judge"},
        )
        _local(self.settings, "settings.", "settings.judge_endpoints")
        return self


class RoundMonitor(MonitorSettings):
    """The monitor of rounds, which are few and long."""

    checks: int = Field(default=1, ge=1)
    """Rounds, one after the other, that must show it."""


_RETRIED = ReadIf("times is above 0", lambda retry, _: retry.times > 0)


class Retry(Strict):
    """What happens to a round that is not kept."""

    times: int = Field(default=1, ge=0)
    """Further attempts with a smaller learning rate on the same pairs, before the round is given up."""
    lr_factor: Annotated[float, _RETRIED] = Field(default=0.5, gt=0, lt=1)
    """Factor of the learning rate at each further attempt; the phase's later rounds keep it."""
    keep: bool = False
    """Keep the weights of attempts that were rejected. Otherwise they are removed once that is decided."""


class LoopConfig(Strict):
    """Everything that can be set for a loop."""

    model: str = "embedded"
    """The base: what the first round starts from, and what every round is compared with."""
    constitution: str
    """Principles by which pairs are labelled."""
    prompts: str
    """Prompts that are trained on; what `generate_feedback.py --prompts` takes."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Field -> the column of the prompts that holds it, where that has another name, as in `prompt: question`."""
    prompts_per_round: int | None = Field(default=None, ge=1)
    """So many in each round, none twice before all had their turn; all of them where None."""
    weights: str = ""
    """Fitted weights of the votes that label."""
    data: dict[str, float] = Field(default_factory=dict)
    """Run folders that are there already -> weight of their pairs in every round."""
    feedback: RunConfig = RunConfig()
    """Settings of the runs. `policy` is the loop's; `judge`, where empty, is the base, so that it stays the same while the policy
    moves."""
    phases: tuple[Phase, ...]
    """What is done in which rounds, in order."""
    evaluation: EvaluationConfig
    """How each round's policy is compared with the one before."""
    gates: Gates = Gates()
    """What a round must show to be accepted."""
    monitor: RoundMonitor = RoundMonitor()
    """Looks at each round's evaluation; what it halts for fails the round."""
    retry: Retry = Retry()
    """What happens after a round that was not accepted."""
    stop: bool = True
    """End the loop when a round is given up. False: continue with the next phase, from the last policy that was kept."""
    launch: tuple[str, ...] = ()
    """What starts the training commands in place of this Python, as in [accelerate, launch, --config_file, FILE]."""
    ray: str = ""
    """The Ray cluster that makes the pairs of each round: local, auto or HOST:PORT. All its nodes must see the loop's folder."""
    shards: Annotated[int, ReadIf("ray is given", lambda loop, _: bool(loop.ray))] = Field(default=8, ge=1)
    """How many parts it makes the pairs in; the result does not depend on it."""
    seed: int = Field(default=0, ge=0)
    """Of the draw of prompts."""

    @model_validator(mode="after")
    def _possible(self) -> LoopConfig:
        check_read(self, apart=(RunConfig, Training))
        _refuse(self.feedback, "feedback.", {"policy": "leave it out", "policies": "leave it out"})
        _local(self.feedback, "feedback.", "feedback.judge_endpoints")
        for name, weight in self.data.items():
            if not 0 < weight < float("inf"):
                raise invalid(f"got weight {weight}", "a positive number", key=f"data.{name}")
        if not self.phases:
            raise invalid("got none", fix="name one, as in `- {recipe: dpo}`", key="phases")
        first = next((i for i, phase in enumerate(self.phases) if phase.needs_pairs), None)
        if first is not None and not self.phases[first].fresh and not self.data:
            got, fix = "got false, and there are no pairs yet", "set it true, or name runs in data"
            raise invalid(got, fix=fix, key=f"phases.{first}.fresh")
        imitates = next((i for i, phase in enumerate(self.phases) if isinstance(phase, SFTPhase)), None)
        revisions = self.feedback.sft.targets != "best"
        if imitates is not None and revisions and not self.feedback.plan.rounds and not self.data:
            got = f"feedback.sft.targets is {self.feedback.sft.targets}, and with feedback.plan.rounds: 0 there are no revisions"
            raise invalid(got, fix="set rounds to 1 or more, or name runs in data", key=f"phases.{imitates}")
        return self


def _refuse(settings: RunConfig, place: str, ours: dict[str, str]) -> None:
    """Refuse settings that the loop sets. place: prefix of their keys. ours: name -> what to do instead."""
    for name, instead in ours.items():
        if name in settings.model_fields_set:
            raise invalid("the loop sets it", fix=instead, key=f"{place}{name}")


def _local(run: RunConfig, place: str, servers: str) -> None:
    """Refuse servers for the policy. place: prefix of the key. servers: where those that judge are named."""
    if run.roles()[POLICY].engine == "endpoint":
        got = "got a server, and none has the policy, which is a new folder after each round"
        fix = f"leave it out, or set engine to vllm or transformers (servers that judge are named in {servers})"
        raise invalid(got, fix=fix, key=f"{place}{'endpoints' if run.endpoints else 'engine'}")
