"""The settings of `dpo --online`: who judges, and how many responses and pairs a step has. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError, model_validator

from constitution.errors import Problem, invalid, problems_of
from constitution.records import Strict
from training.config import Training
from training.ppo.config import PPO, KLControl
from training.recipes.config import DPO
from training.rollout.config import CompareReward, Rewards, SamplerSettings


class Online(Strict):
    """Pairs of the policy's own responses, judged by a constitution as they come (Guo et al. 2024, arXiv:2402.04792)."""

    judge: CompareReward
    """Who compares the responses, under which constitution."""
    prompts: int = Field(default=16, ge=1)
    """Prompts of one iteration, over all processes."""
    samples: int = Field(default=2, ge=2)
    """Responses to each prompt."""
    pairs: Literal["best_worst", "all_pairs"] = "best_worst"
    """Which pairs are learned from: the strongest response to a prompt and the weakest, or every pair."""
    min_log_odds: float = Field(default=0.0, ge=0)
    """Pairs whose log-odds are closer to 0 than this are dropped and counted. Ties (0) always are."""
    sampler: SamplerSettings = SamplerSettings()
    """How the responses are sampled."""
    importance_cap: float | None = Field(default=2.0, ge=1, allow_inf_nan=False)
    """A pair's loss is multiplied by π/π_sampler of its two responses, at most by this, since engine and trainer round differently.
    None: not corrected."""
    evaluated: int = Field(default=64, ge=1)
    """Maximum number of held-out prompts of an evaluation, whose responses are compared with those before training."""


_PLACES = {"reward.compare": "online.judge"} | {
    name: f"online.{name}" for name in ("prompts", "samples", "sampler", "importance_cap", "evaluated")
}
"""Settings of the loop -> where they stand here."""


def own_place(problem: Problem) -> Problem:
    """A problem of the loop's settings, as one of these settings."""
    for theirs, ours in _PLACES.items():
        if problem.key == theirs or problem.key.startswith(f"{theirs}."):
            return problem._replace(key=ours + problem.key[len(theirs) :])
    return problem


class OnlineDPO(DPO):
    """Direct preference optimization on pairs that the policy writes and a constitution judges during training. A step is an
    iteration: sample responses, compare them, learn from the pairs. `data` holds prompts.
    """

    online: Online
    """How pairs come about."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs of one optimizer step, over all processes; rounded to whole prompts."""
    save_every: int | None = Field(default=10, ge=1)
    """Iterations between two checkpoints from which a killed run resumes; none where None."""

    @model_validator(mode="after")
    def _online_possible(self) -> OnlineDPO:
        if self.margins:
            raise invalid("pairs that come online have no column margin", fix="leave it out", key="margins")
        try:
            self.loop()
        except ValidationError as error:
            problem = own_place(problems_of(error, PPO)[0])
            raise invalid(problem.got, problem.allowed, problem.fix, problem.key) from None
        return self

    @property
    def pairs_of_a_prompt(self) -> int:
        """The most pairs that one prompt gives."""
        n = self.online.samples
        return 1 if self.online.pairs == "best_worst" else n * (n - 1) // 2

    def loop(self) -> PPO:
        """The settings of the loop that samples, evaluates and saves: PPO's, which learns in another way here."""
        own = self.online
        shared = {name: getattr(self, name) for name in Training.model_fields}
        rest = {
            "reward": Rewards(compare=own.judge),
            "baseline": "group",
            "kl": KLControl(coefficient=0.0),
            "prompts": own.prompts,
            "samples": own.samples,
            "sampler": own.sampler,
            "importance_cap": own.importance_cap,
            "evaluated": own.evaluated,
            "batch_size": max(1, round(self.batch_size / self.pairs_of_a_prompt)) * own.samples,
            "micro_batch_size": 2 * self.micro_batch_size,
        }
        return PPO(**{**shared, **rest})
