"""The settings of best-of-N: how responses are written, what they are worth, which are imitated. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, JsonValue, model_validator

from constitution.errors import invalid
from constitution.records import Strict
from generation.config import Decoding, Plan, RunConfig
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLMSettings
from generation.roles import EngineName, engine_beside
from generation.servers.settings import Servers
from training.recipes.config import SFT
from training.rollout.config import ENGINE_SETTINGS, Rewards, check_run


class BestOfSampler(Strict):
    """How responses are sampled."""

    system_hint: str = ""
    """System message under which responses are sampled and which the training rows do not contain: the model learns to do without
    it what it could do with it (context distillation: Askell et al. 2021, arXiv:2112.00861). Rewards do not see it."""
    max_tokens: int = Field(default=256, ge=1)
    """Maximum tokens of a response."""
    temperature: float = Field(default=1.0, gt=0, le=10)
    """1 samples from the model's own distribution."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample from the likeliest tokens that together have this probability."""
    keep_truncated: bool = False
    """Keep responses that max_tokens cut; if one is imitated, training adds no end of turn to it. If they are dropped, a policy
    with long responses chooses among its short ones alone."""
    endpoints: Servers = ()
    """Servers of the model, which runs there where any are given."""
    engine: EngineName = Field(default_factory=engine_beside)
    """What runs a model that has no servers; vllm where it is installed, else transformers."""
    prompts_in_flight: int = Field(default=256, ge=1)
    """Prompts worked on at once."""
    calls_in_flight: int = Field(default=512, ge=1)
    """Calls given to the engine at once."""
    vllm: VLLMSettings = VLLMSettings()
    """Settings of vLLM, where it is the engine."""
    transformers: TransformersSettings = TransformersSettings()
    """Settings of the transformers engine, where it is the engine."""

    @model_validator(mode="after")
    def _possible(self) -> BestOfSampler:
        check_run(lambda: self.run("model", 0, 1))
        return self

    def run(self, model: str, seed: int, samples: int, told: Mapping[str, JsonValue] | None = None) -> RunConfig:
        """The same as settings of a run, whose policy it is. samples: responses to each prompt. told: to the chat template."""
        drawn = Decoding(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p)
        return RunConfig(
            policy=model,
            chat_template_kwargs=dict(told or {}),
            plan=Plan(
                sample=drawn,
                seed=seed,
                keep_truncated=self.keep_truncated,
                system_hint=self.system_hint,
                hinted_samples=samples if self.system_hint else 1,
            ),
            prompts_in_flight=self.prompts_in_flight,
            calls_in_flight=self.calls_in_flight,
            **{name: getattr(self, name) for name in ENGINE_SETTINGS if name in self.model_fields_set},
        )


class BestOf(SFT):
    """Rejection sampling: many responses to each prompt, and supervised fine-tuning on those with the highest reward (best of N in
    Stiennon et al. 2020, arXiv:2009.01325; as training data in Touvron et al. 2023, arXiv:2307.09288).
    """

    samples: int = Field(default=8, ge=2)
    """Responses to each prompt."""
    reward: Rewards
    """What scores the responses."""
    sampler: BestOfSampler = BestOfSampler()
    """How the responses are sampled."""
    keep: int = Field(default=1, ge=1)
    """How many of the best responses to a prompt are imitated. Each must exceed the prompt's mean; equal texts count once."""
    min_gain: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """By how much the best reward of a prompt must exceed the mean of its rewards; otherwise the prompt is dropped and counted. A
    prompt whose rewards are all equal is always dropped."""
    reuse: tuple[str, ...] = ()
    """Folders whose stored calls are reused: of an earlier best_of, or of a run."""

    @model_validator(mode="after")
    def _best_of_possible(self) -> BestOf:
        if self.keep >= self.samples:
            got = f"got {self.keep} of {self.samples} samples, which chooses nothing"
            raise invalid(got, fix="lower keep, or raise samples", key="keep")
        weighted = [f"{name}={weight:g}" for name, weight in self.data.items() if weight != 1]
        if weighted:
            got = f"got {', '.join(weighted)}, and best_of samples its own responses, to each prompt alike"
            raise invalid(got, fix="leave the weight out", key="data")
        return self
