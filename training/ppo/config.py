"""The settings of PPO: what is rewarded, and how the policy follows it. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from constitution.errors import invalid
from constitution.records import Strict
from generation.reads import ReadIf
from training.config import BY_EPOCHS, Training
from training.monitor.config import MonitorSettings
from training.rollout.config import Rewards, SamplerSettings

_TARGET = ReadIf("target is set", lambda kl, _: kl.target is not None)
_CHECKED = ReadIf(
    "monitor.every or eval_every is set", lambda ppo, _: ppo.check_every or ppo.monitor.gold or ppo.monitor.reference
)
_RESAMPLES = ReadIf("equal_groups is resample", lambda ppo, _: ppo.equal_groups == "resample")
_SAVED = ReadIf("save_every is set", lambda ppo, _: ppo.save_every is not None)


class KLControl(Strict):
    """The penalty on the KL divergence from the reference."""

    coefficient: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Reward subtracted per nat of log π/π_ref; the initial value if `target` is set."""
    target: float | None = Field(default=None, gt=0)
    """Target KL in nats per response; the coefficient is adapted to reach it (Ziegler et al. 2019, arXiv:1909.08593). None:
    fixed."""
    horizon: Annotated[float, _TARGET] = Field(default=1000.0, gt=0)
    """Responses over which the coefficient changes by at most about 20%."""

    @model_validator(mode="after")
    def _steerable(self) -> KLControl:
        if self.target and not self.coefficient:
            got = "got 0 with a target, and the coefficient is multiplied to reach it"
            raise invalid(got, "above 0", "or leave target out", key="coefficient")
        return self


class Overlong(Strict):
    """A penalty that grows with the length of a response near the limit (soft overlong punishment of DAPO, arXiv:2503.14476)."""

    tokens: int = Field(ge=1)
    """The last so many tokens before sampler.max_tokens are penalized, linearly from 0 at their first to `penalty` at the limit."""
    penalty: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Subtracted from the score of a response that reaches the limit."""


class PPOMonitor(MonitorSettings):
    """Measures of the responses to held-out prompts during training, and when they end the run. If a detector halts the run, the
    policy of the check with the highest gold is saved.
    """

    every: int | None = Field(default=None, ge=1)
    """Iterations between two checks; eval_every if None. If both are None there are no checks."""
    gold: Rewards | None = None
    """Gold reward, which the trained reward (the proxy) approximates and which is not trained on: rules, reward models of human
    labels, or a judge. It grades each response to a held-out prompt (Gao et al. 2023, arXiv:2210.10760)."""
    reference: tuple[str, ...] = ()
    """Training data of the reward models (as --data takes it): `novelty` measures how far responses differ from it."""

    @model_validator(mode="after")
    def _distinct_names(self) -> PPOMonitor:
        if len(set(self.reference)) < len(self.reference):
            raise invalid(f"got {', '.join(self.reference)}", "each once", key="reference")
        return self


_OF_OTHERS = {
    "critic": ("leave_one_out", "scale", "equal_groups"),
    "group": ("whiten_rewards", "gamma", "lam", "critic", "critic_learning_rate", "critic_warmup"),
}
"""Baseline -> settings that it does not read. `value_clip` may be off with either."""


def _unread(names: Sequence[str], why: str) -> PydanticCustomError:
    """The problem of settings that are not read."""
    others = f" (likewise {', '.join(names[1:])})" if names[1:] else ""
    return invalid(f"{why}{others}", fix="leave it out", key=names[0])


class PPO(Training):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) on the policy's own responses. A step is an iteration:
    sample responses, reward them, update the policy.
    """

    epochs: Annotated[float, BY_EPOCHS] = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Passes over the prompts."""
    steps: int | None = Field(default=None, ge=1)
    """Iterations in place of `epochs`."""
    prompts: int = Field(default=16, ge=1)
    """Prompts of one iteration, over all processes."""
    samples: int = Field(default=4, ge=1)
    """Responses to each prompt."""
    passes: int = Field(default=1, ge=1)
    """Passes over the responses of each iteration."""
    batch_size: int = Field(default=64, ge=1)
    """Responses of one optimizer step, over all processes; rounded to whole prompts."""
    micro_batch_size: int = Field(default=16, ge=1)
    """Responses of one forward pass, per process. It changes memory and speed, not the result."""
    learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times higher."""
    schedule: Literal["linear", "cosine", "constant"] = "constant"
    """Course of the learning rate after the warm-up."""
    save_every: int | None = Field(default=10, ge=1)
    """Iterations between two checkpoints from which a killed run resumes; none where None."""
    keep_checkpoints: Annotated[int, _SAVED] = Field(default=1, ge=1)
    """How many checkpoints are kept."""
    reward: Rewards
    """What scores the responses."""
    sampler: SamplerSettings = SamplerSettings()
    """How the responses are sampled."""
    kl: KLControl = KLControl()
    """How far the policy may move from the reference."""
    baseline: Literal["critic", "group"] = "critic"
    """What a response is compared with. critic: the value that a second model predicts at each token. group: the other responses to
    the prompt; no second model."""
    leave_one_out: bool = True
    """group: the mean of the other responses alone (arXiv:2402.14740), not of all (arXiv:2402.03300)."""
    scale: bool = False
    """group: divide by the group's standard deviation."""
    equal_groups: Literal["keep", "drop", "resample"] = "keep"
    """group: what becomes of responses to a prompt whose scores are all equal (see min_spread), which have nothing to tell: their
    advantage is 0. keep: their tokens count in the mean that the loss is. drop: they do not. resample: other prompts are drawn in
    place of theirs (dynamic sampling of DAPO, arXiv:2503.14476), then they are dropped."""
    resample_times: Annotated[int, _RESAMPLES] = Field(default=3, ge=1)
    """How often other prompts are drawn in an iteration."""
    min_spread: float = Field(default=1e-3, ge=0, allow_inf_nan=False)
    """Scores of which the highest is above the lowest by no more than this are equal. Equal scores give no step to the policy: what
    is left is noise, which scaling to variance 1 would make a whole step of. group: those of a prompt. critic: those of an
    iteration."""
    whiten_rewards: bool = False
    """Divide rewards per token by their standard deviation over the iteration; critic only."""
    whiten_advantages: bool = True
    """critic: advantages have mean 0 and variance 1 over the tokens of an iteration. group: they are divided by their root mean
    square over responses, and not shifted: each group's mean is 0 already, and a mean over tokens would give long responses more
    say in it."""
    reward_clip: float | None = Field(default=None, gt=0)
    """Scores are clipped to plus and minus this."""
    missing_end_penalty: float = Field(default=0.0, ge=0)
    """Subtracted from the score of a response without an end of turn."""
    overlong: Overlong | None = None
    """Penalty of responses near the length limit; none where None."""
    hidden_penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Subtracted from the score of a response that hides something: special tokens, or white space at its ends, which most rules
    and readers do not see. Rewards are shown both as they were written; `hidden` is the share of such responses."""
    loss_mean: Literal["tokens", "responses", "max_tokens"] = "tokens"
    """What the policy's loss is a mean of. tokens: every token of an optimizer step counts the same (DAPO). responses: every
    response does, whatever its length (GRPO). max_tokens: the sum over tokens is divided by responses times sampler.max_tokens, so
    that no token counts less in a longer response or batch (Dr. GRPO, arXiv:2503.20783)."""
    importance_cap: float | None = Field(default=2.0, ge=1, allow_inf_nan=False)
    """Truncated importance sampling: each token's loss is multiplied by π/π_sampler before the update, at most by this, since
    engine and trainer round differently (mismatch_weight). None: not corrected."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """The ratio π/π_old is clipped to 1 ± clip."""
    clip_high: float | None = Field(default=None, gt=0)
    """Separate upper bound: the ratio is clipped to 1 + clip_high (arXiv:2503.14476)."""
    entropy: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus, per token."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount factor of later rewards; 1 for no discount."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """λ of generalized advantage estimation (arXiv:1506.02438)."""
    critic: str | None = None
    """The critic's model. None: the first of reward.models where its tokens are the policy's, else the policy with a zero head."""
    critic_learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate of the critic."""
    critic_warmup: int = Field(default=0, ge=0)
    """Initial iterations in which only the critic is trained."""
    value_clip: float | None = Field(default=0.2, gt=0)
    """Maximum change of a value within an iteration; unbounded if None."""
    evaluated: int = Field(default=64, ge=1)
    """Maximum number of held-out prompts of an evaluation."""
    monitor: Annotated[PPOMonitor, _CHECKED] = PPOMonitor()
    """Detects over-optimization of the reward."""

    @model_validator(mode="after")
    def _ppo_possible(self) -> PPO:
        if self.baseline == "group" and self.samples < 2:
            got = f"got {self.samples}, and baseline: group compares the responses to a prompt"
            raise invalid(got, "at least 2", key="samples")
        if self.overlong and self.overlong.tokens >= self.sampler.max_tokens:
            allowed = f"less than sampler.max_tokens ({self.sampler.max_tokens})"
            raise invalid(f"got {self.overlong.tokens}", allowed, key="overlong.tokens")
        if self.load_best or self.patience:
            key = "load_best" if self.load_best else "patience"
            raise invalid("needs an evaluation loss, and PPO has none", fix="leave it out", key=key)
        if not self.check_every and (self.monitor.gold or self.monitor.reference):
            fix = "set monitor.every, or eval_every"
            raise invalid("got gold or reference, but no checks are scheduled", fix=fix, key="monitor")
        unread = {
            "truncated": self.truncated == "drop",
            "bucket": not self.bucket,
            "lora.dropout": self.lora is not None and self.lora.dropout > 0,
            "data": any(weight != 1 for weight in self.data.values()),
            "router_aux_loss": self.router_aux_loss > 0,
        }
        if names := [name for name, given in unread.items() if given]:
            why = (
                "has no effect: PPO samples its own responses, equally often to each prompt, and trains without dropout and "
                "auxiliary losses"
            )
            raise _unread(names, why)
        if self.quantize and self.sampler.engine == "vllm":
            got = f"got vllm with quantize: {self.quantize}, and vLLM would sample from the base as it was before"
            raise invalid(got, fix="set it to generate", key="sampler.engine")
        fields = type(self).model_fields
        if names := [name for name in _OF_OTHERS[self.baseline] if getattr(self, name) != fields[name].default]:
            raise _unread(names, f"has no effect with baseline: {self.baseline}")
        return self

    @property
    def check_every(self) -> int | None:
        """Iterations between two looks of the monitor; None where it never looks."""
        return self.monitor.every or self.eval_every
