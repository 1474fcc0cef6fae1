"""Rewards that models give: an ensemble of reward models, and a judge under a constitution."""

from __future__ import annotations

import datetime
import math
import statistics
from asyncio import Task, create_task, gather
from collections.abc import Mapping

from scipy.special import expit

from constitution.errors import Problem, Problems, UserError
from constitution.principles import Constitution, assign
from constitution.records import VIOLATION, Failure, Prompt, Response
from generation.config import RunConfig
from generation.engines.base import Completion, Engine, Request, TransientError
from generation.engines.checkpoint import ModelFiles, load_config, load_tokenizer
from generation.engines.reward import Reward, check, head_rewards
from generation.engines.transformers import TransformersSettings
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.factory import OpenEngine, Wrap, chat_models, model_registry
from generation.models.files import resolve
from generation.pipeline.panel import Panel, panel_of, unknown_principles
from generation.pipeline.preflight import preflight
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.voting import pointwise_vote
from training.monitor.moves import PRINCIPLE
from training.rollout.config import JudgeReward, ModelsReward
from training.rollout.rules import STAGE, Part, applicable, merit, no_principle


class Lazy:
    """An engine that is opened at its first call."""

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open = open_engine
        self._engine: Engine | None = None

    async def generate(self, request: Request) -> Completion:
        """The engine's answer. Raises ModelError when it cannot be opened."""
        if self._engine is None:
            self._engine = await self._open()  # opening an engine awaits nothing, so no second call comes between
        return await self._engine.generate(request)

    async def close(self) -> None:
        """Close the engine where it was opened."""
        engine, self._engine = self._engine, None
        if engine:
            await engine.close()


class Ensemble:
    """Reward models: the mean of all their heads less `pessimism` times their standard deviation, which is `head_spread`.

    The standard deviation is the population's. A lower bound of the reward is harder to game than its mean (Coste et al. 2023,
    arXiv:2310.02743).
    """

    def __init__(self, settings: ModelsReward, wrap: Wrap = Lazy, day: datetime.date | None = None) -> None:
        """Raises UserError with every model that is no reward model; weights load at the first call."""
        self._pessimism = settings.pessimism
        problems = Problems()
        self._models: list[ChatModel] = []
        for path in settings.paths:
            with problems.collect("paths"):
                self._models.append(_reward_model(resolve(path), settings.transformers, wrap, day))
        problems.check()
        self.digests: Mapping[str, str] = {f"models.{i}": model.digest for i, model in enumerate(self._models)}

    async def grade(self, prompt: Prompt, response: Response, ended: bool = True) -> Part | Failure:
        """A Failure where any model gives none: an ensemble with fewer members would be another reward."""
        message = response.message
        told = prompt.template_kwargs
        asked = (model.reward(prompt.messages, message, prompt.tools, ended, told) for model in self._models)
        answers = await gather(*asked)
        values: list[float] = []
        for model, answer in zip(self._models, answers, strict=True):
            if answer.error:
                return Failure(
                    prompt.id, STAGE, answer.error.reason, answer.error.detail, f"{response.id} by {model.name}"
                )
            values += head_rewards(answer.logprobs)
        if not all(map(math.isfinite, values)):
            return Failure(prompt.id, STAGE, "reward_nan", str(values), response.id)
        spread = statistics.pstdev(values)
        details = {"head_spread": spread} if len(values) > 1 else {}
        return Part(statistics.fmean(values) - self._pessimism * spread, details)

    async def close(self) -> None:
        """Close all models."""
        for model in self._models:
            await model.engine.close()


class LivePanel:
    """A panel that is asked during training: its engines open at their first call."""

    def __init__(self, config: RunConfig, constitution: Constitution, wrap: Wrap = Lazy) -> None:
        """Raises UserError for settings that name principles which are none, and for models that cannot be read."""
        if unknown := unknown_principles(config, constitution):
            raise UserError(unknown)
        self._engines: list[Engine] = []
        self._put_before = wrap
        registry = model_registry(config)
        self._known: Task[object] | None = None
        self.panel: Panel = panel_of(config, chat_models(config, registry, self._wrap)[1], None)
        self.digests: Mapping[str, str] = registry.digests()

    async def known(self) -> None:
        """What the judges' servers take and give is asked once. Raises TransientError, and asks again at the next response."""
        known = self._known = self._known or create_task(preflight([judge.model for judge in self.panel.judges]))
        try:
            await known
        except TransientError:
            if self._known is known:
                self._known = None
            raise

    async def close(self) -> None:
        """Close all engines."""
        for engine in self._engines:
            await engine.close()

    def _wrap(self, open_engine: OpenEngine) -> Engine:
        self._engines.append(self._put_before(open_engine))
        return self._engines[-1]


class LiveJudge:
    """A panel that looks at each response by itself under the judged principles of a constitution: log-odds that it is good.

    The answers under one principle are averaged, principles and objectives weighed as in the constitution.
    """

    def __init__(
        self,
        settings: JudgeReward,
        constitution: Constitution,
        seed: int,
        wrap: Wrap = Lazy,
        day: datetime.date | None = None,
    ) -> None:
        """Raises UserError for a constitution or a model that cannot judge so; weights load at the first call."""
        if not any(principle.judged for principle in constitution.principles):
            got = f"{constitution.name} has no principle that a model judges"
            raise UserError(Problem("", "constitution", got, fix="use rules"))
        config = settings.run().model_copy(update={"date": day})
        self._plan = config.plan
        self._constitution = constitution
        self._seed = seed
        self._live = LivePanel(config, constitution, wrap)
        self.digests: Mapping[str, str] = {
            "judge": constitution.digest,
            **{f"judge.{name}": d for name, d in self._live.digests.items()},
        }

    async def grade(self, prompt: Prompt, response: Response, ended: bool = True) -> Part | Failure:
        """A Failure where any voter has no answer: the mean over fewer voters would be another reward."""
        judged = applicable(self._constitution, prompt, judged=True)
        drawn = assign(judged, f"{self._seed} {prompt.id}", self._plan.principles)
        voters = self._live.panel.voters(drawn)
        if not voters:
            return no_principle(prompt, response, self._constitution)
        voters += self._live.panel.vetoes(judged)
        try:
            await self._live.known()
            answers = await gather(*(pointwise_vote(voter, prompt, response, self._plan, ended) for voter in voters))
        except TransientError as error:
            return Failure(prompt.id, STAGE, UNAVAILABLE, str(error), response.id)
        graded: dict[str, list[float]] = {}
        spared: dict[str, list[float]] = {}
        for voter, answer in zip(voters, answers, strict=True):
            if isinstance(answer, Failure):
                return answer
            (spared if voter.method == VIOLATION else graded).setdefault(voter.principle.id, []).append(answer)
        means = {name: statistics.fmean(values) for name, values in graded.items()}
        violated = {name: mean for name, values in spared.items() if (mean := statistics.fmean(values)) < 0}
        kept = {f"{PRINCIPLE}{name}": float(expit(value)) for name, value in means.items()}
        return Part(merit(means, self._constitution, violated), kept)

    async def close(self) -> None:
        """Close all engines."""
        await self._live.close()


def _reward_model(
    files: ModelFiles, settings: TransformersSettings, wrap: Wrap, day: datetime.date | None
) -> ChatModel:
    async def open_engine() -> Engine:
        return Reward(files, settings)

    check(load_config(files), files)
    encoder = Encoder(load_tokenizer(files), day=day)
    _ = encoder.end_of_turn  # a template without one is told now
    return ChatModel(files.name, files.digest, wrap(open_engine), encoder, files.context)
