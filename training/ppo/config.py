"""The settings of PPO: what is rewarded, and how the policy follows it. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from constitution.records import Strict
from training.config import Training
from training.monitor.config import MonitorSettings
from training.rollout.config import Rewards, SamplerSettings


class KLControl(Strict):
    """What straying from the reference costs."""

    coefficient: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Reward that one nat of log π/π_ref takes off; where `target` is set, at first."""
    target: float | None = Field(default=None, gt=0)
    """Nats per response that the coefficient is steered towards (Ziegler et al. 2019, arXiv:1909.08593); fixed where None."""
    horizon: float = Field(default=1000.0, gt=0)
    """Responses in which the coefficient may change by a fifth or so."""

    @model_validator(mode="after")
    def _steerable(self) -> KLControl:
        if self.target and not self.coefficient:
            raise ValueError(
                "coefficient: got 0 with a target, and 0 cannot be steered; start above 0, or leave target out"
            )
        return self


class PPOMonitor(MonitorSettings):
    """What is measured of the responses to held-out prompts while the policy learns, and when that ends the run: a policy that a
    detector halts is put back to where gold was highest.
    """

    every: int | None = Field(default=None, ge=1)
    """Iterations between two checks; eval_every where None, and no checks where that is None too."""
    gold: Rewards | None = None
    """Gold reward, which the trained reward (the proxy) approximates and which is not trained on: rules, reward models of human
    labels, or a judge. It grades each response to a held-out prompt (Gao et al. 2023, arXiv:2210.10760)."""
    reference: tuple[str, ...] = ()
    """What the reward models were trained on (as --data takes it): `novelty` is how far responses leave it."""

    @model_validator(mode="after")
    def _distinct_names(self) -> PPOMonitor:
        if len(set(self.reference)) < len(self.reference):
            raise ValueError(f"reference: got {', '.join(self.reference)}; name each once")
        return self


_OF_OTHERS = {
    "critic": ("leave_one_out", "scale"),
    "group": ("whiten_rewards", "gamma", "lam", "critic", "critic_learning_rate", "critic_warmup"),
}
"""Baseline -> settings that it does not read. `value_clip` may be off with either."""


class PPO(Training):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) on the policy's own responses. A step is an iteration:
    responses are written, rewarded, and learnt from.
    """

    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Passes over the prompts."""
    steps: int | None = Field(default=None, ge=1)
    """Iterations in place of `epochs`."""
    prompts: int = Field(default=16, ge=1)
    """Prompts of one iteration, over all processes."""
    samples: int = Field(default=4, ge=1)
    """Responses to each."""
    passes: int = Field(default=1, ge=1)
    """Times that each iteration's responses are learnt from."""
    batch_size: int = Field(default=64, ge=1)
    """Responses of one optimizer step, over all processes; rounded to whole prompts."""
    micro_batch_size: int = Field(default=16, ge=1)
    """Responses that one process works on at once. It changes memory and speed, never the result."""
    learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """With `lora`, and where none is given, 10 times that."""
    schedule: Literal["linear", "cosine", "constant"] = "constant"
    """Course of the learning rate after the warm-up."""
    save_every: int | None = Field(default=10, ge=1)
    """Iterations between two checkpoints from which a killed run resumes; none where None."""
    reward: Rewards
    """What scores the responses."""
    sampler: SamplerSettings = SamplerSettings()
    """How the responses are drawn."""
    kl: KLControl = KLControl()
    """How far the policy may move from the reference."""
    baseline: Literal["critic", "group"] = "critic"
    """What a response is compared with. critic: the value that a second model predicts at each token. group: the other responses to
    the prompt; no second model."""
    leave_one_out: bool = True
    """group: the mean of the other responses alone (arXiv:2402.14740), not of all (arXiv:2402.03300)."""
    scale: bool = False
    """group: divide by the group's standard deviation."""
    whiten_rewards: bool = False
    """Divide rewards per token by their standard deviation over the iteration; critic only."""
    whiten_advantages: bool = True
    """Advantages have mean 0 and variance 1 over the iteration."""
    reward_clip: float | None = Field(default=None, gt=0)
    """Scores are held within plus and minus this."""
    missing_end_penalty: float = Field(default=0.0, ge=0)
    """Taken off the score of a response that was cut before it ended."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Ratios π/π_old beyond 1 ± clip gain nothing."""
    clip_high: float | None = Field(default=None, gt=0)
    """Upper bound of its own (arXiv:2503.14476)."""
    entropy: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus, per token."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount of later rewards; 1 counts them all alike."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """λ of generalised advantage estimation (arXiv:1506.02438)."""
    critic: str | None = None
    """The critic's model. None: the first of reward.models where its tokens are the policy's, else the policy with a zero head."""
    critic_learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate of the critic."""
    critic_warmup: int = Field(default=0, ge=0)
    """First iterations, in which the critic learns alone."""
    value_clip: float | None = Field(default=0.2, gt=0)
    """How far a value may move from the old one within an iteration; unbounded where None."""
    evaluated: int = Field(default=64, ge=1)
    """Most held-out prompts that an evaluation writes a response to."""
    monitor: PPOMonitor = PPOMonitor()
    """Tells improvement from over-optimization of the reward."""

    @model_validator(mode="after")
    def _ppo_possible(self) -> PPO:
        if self.baseline == "group" and self.samples < 2:
            raise ValueError(
                f"samples: got {self.samples}; baseline: group compares responses to one prompt, set 2 or more"
            )
        if self.load_best or self.patience:
            raise ValueError("load_best, patience: PPO has no loss to go by; keep the last model")
        if not self.check_every and (self.monitor.gold or self.monitor.reference):
            raise ValueError("monitor: got gold or reference, and no check is due; set monitor.every, or eval_every")
        unread = {
            "truncated: got drop": self.truncated == "drop",
            "bucket: got false": not self.bucket,
            "lora.dropout: got more than 0": self.lora is not None and self.lora.dropout > 0,
            "data: got a weight other than 1": any(weight != 1 for weight in self.data.values()),
        }
        if wrong := [problem for problem, given in unread.items() if given]:
            raise ValueError(
                f"{'; '.join(wrong)}: PPO writes its own responses, to each prompt alike and without dropout; leave it out"
            )
        fields = type(self).model_fields
        if wrong := [
            f"{name}: got {given}"
            for name in _OF_OTHERS[self.baseline]
            if (given := getattr(self, name)) != fields[name].default
        ]:
            raise ValueError(f"{'; '.join(wrong)}: baseline: {self.baseline} does not read it; leave it out")
        return self

    @property
    def check_every(self) -> int | None:
        """Iterations between two looks of the monitor; None where it never looks."""
        return self.monitor.every or self.eval_every
