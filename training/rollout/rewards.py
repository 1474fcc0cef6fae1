"""The reward of PPO: a weighted sum of sources. What fails has no reward, and is counted; it is never given a number."""

from __future__ import annotations

import datetime
import math
from asyncio import gather
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from constitution.errors import Problems, UserError
from constitution.loading import load
from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response
from generation.engines.base import TransientError
from generation.models.factory import Wrap
from generation.pipeline.scheduler import UNAVAILABLE
from training.rollout.compare import PairwiseJudge
from training.rollout.config import Rewards
from training.rollout.models import Ensemble, Lazy, LiveJudge
from training.rollout.rules import STAGE, Candidates, GroupSource, Part, Rules, Source

CONSTITUTIONS = ("reward/rules", "reward/judge", "reward/compare")
"""Digests that are those of constitutions."""


class ResponseReward(NamedTuple):
    """The reward of one response."""

    score: float
    """The weighted sum."""
    parts: Mapping[str, float]
    """What is logged beside it: `reward/NAME` of each source, unweighted, and the details a source gives."""


class RewardSum:
    """Sources by name, each with its weight."""

    def __init__(
        self, sources: Mapping[str, tuple[float, Source | GroupSource]], columns: frozenset[str] = frozenset()
    ) -> None:
        """columns: of a prompt's row, read by the sources' rules."""
        self._sources = dict(sources)
        self.columns = columns

    @property
    def digests(self) -> dict[str, str]:
        """`reward/...` -> digest of each constitution and model that the reward comes from."""
        return {f"reward/{name}": digest for _, s in self._sources.values() for name, digest in s.digests.items()}

    @property
    def compares(self) -> bool:
        """Whether a response has a reward beside others alone."""
        return any(isinstance(source, GroupSource) for _, source in self._sources.values())

    async def grade(self, group: Candidates) -> list[ResponseReward | Failure]:
        """The sum for each response, or the first failure of a source."""
        try:
            columns = await gather(*(_graded(source, group) for _, source in self._sources.values()))
        except TransientError as error:
            return [Failure(group.prompt.id, STAGE, UNAVAILABLE, str(error), one.id) for one in group.responses]
        return [
            self._sum(group.prompt, response, parts) for response, *parts in zip(group.responses, *columns, strict=True)
        ]

    async def grade_all(self, groups: Sequence[Candidates]) -> list[list[ResponseReward | Failure]]:
        """All at once, in their order."""
        return list(await gather(*map(self.grade, groups)))

    def _sum(self, prompt: Prompt, response: Response, found: Sequence[Part | Failure]) -> ResponseReward | Failure:
        parts: dict[str, float] = {}
        score = 0.0
        for (name, (weight, _)), part in zip(self._sources.items(), found, strict=True):
            if isinstance(part, Failure):
                return part
            if not math.isfinite(part.value):
                return Failure(prompt.id, STAGE, "reward_nan", f"{name} gave {part.value}", response.id)
            score += weight * part.value
            parts |= {f"reward/{name}": part.value, **part.details}
        return ResponseReward(score, parts)

    async def close(self) -> None:
        """Close all sources."""
        for _, source in self._sources.values():
            await source.close()


async def _graded(source: Source | GroupSource, group: Candidates) -> list[Part | Failure]:
    """What a source says of each response."""
    if isinstance(source, GroupSource):
        return await source.grade_group(group)
    asked = zip(group.responses, group.ended, strict=True)
    return list(await gather(*(source.grade(group.prompt, response, ended) for response, ended in asked)))


def open_rewards(
    settings: Rewards, seed: int = 0, wrap: Wrap = Lazy, key: str = "reward", day: datetime.date | None = None
) -> RewardSum:
    """The sources that the settings name. Constitutions and tokenizers are read now, weights at the first response.

    seed: draws the principles of each prompt where not all are asked. wrap: puts something, such as a store of calls, in front of
    each engine, which it opens at its first call. key: where the settings stand. day: what chat templates take for today.
    Raises UserError with the problems of all sources.
    """
    sources: dict[str, tuple[float, Source | GroupSource]] = {}
    problems, constitutions = Problems(), list[Constitution]()

    def constitution_of(path: str) -> Constitution:
        constitutions.append(_constitution(path))
        return constitutions[-1]

    if rules := settings.rules:
        with problems.collect(f"{key}.rules"):
            sources["rules"] = rules.weight, Rules(constitution_of(rules.constitution))
    if models := settings.models:
        with problems.collect(f"{key}.models"):
            sources["models"] = models.weight, Ensemble(models, wrap, day)
    if judge := settings.judge:
        with problems.collect(f"{key}.judge"):
            sources["judge"] = judge.weight, LiveJudge(judge, constitution_of(judge.constitution), seed, wrap, day)
    if compare := settings.compare:
        with problems.collect(f"{key}.compare"):
            constitution = constitution_of(compare.constitution)
            sources["compare"] = compare.weight, PairwiseJudge(compare, constitution, seed, wrap, day)
    problems.check()
    return RewardSum(sources, frozenset[str]().union(*(one.columns for one in constitutions)))


def _constitution(path: str) -> Constitution:
    """Raises UserError with the problems of the file, as those of the setting that names it."""
    try:
        return load(path)
    except UserError as error:
        raise UserError(problem.named_by("constitution") for problem in error.problems) from None
