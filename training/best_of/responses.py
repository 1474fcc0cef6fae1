"""Responses to every prompt, and their rewards: each call kept, so that it is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Unavailable
from constitution.records import Failure, Prompt, Response
from generation.config import Plan
from generation.engines.base import TransientError
from generation.models.chat_model import ChatModel
from generation.models.factory import chat_model, model_registry
from generation.output.folder import day_of
from generation.pipeline.feedback import sample
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS, Session
from training.best_of.choice import Choice, RewardedSample, choose
from training.best_of.config import BestOf
from training.rollout.rewards import ResponseReward, open_rewards
from training.rollout.rules import Candidates

Samples = Sequence[Response | Failure]
"""What each sample of a prompt came to, in order."""


class Outcome(NamedTuple):
    """What became of one prompt."""

    prompt: Prompt
    responses: tuple[RewardedSample, ...]
    """Those with a reward."""
    failures: tuple[Failure, ...]
    """The others, a record each."""
    choice: Choice


def outcomes(settings: BestOf, prompts: Sequence[Prompt], folder: Path) -> list[Outcome]:
    """Sample, grade and choose; in the prompts' order. All are sampled before any is graded: two large models never meet.

    Raises UserError, and Unavailable where an engine stayed unavailable for some.
    """
    return asyncio.run(_outcomes(settings, prompts, folder))


async def _outcomes(settings: BestOf, prompts: Sequence[Prompt], folder: Path) -> list[Outcome]:
    reuse = [Path(other) / CALLS for other in settings.reuse]
    async with Session(folder / CALLS, reuse=reuse, prompts=len(prompts)) as session:
        sampled = await _sample(settings, prompts, session)
    _check_complete([one for drawn in sampled for one in drawn], "responses")
    async with Session(folder / CALLS, reuse=reuse, prompts=len(prompts)) as session:
        graded = await _grade(settings, prompts, sampled, folder, session)
    _check_complete([one for found in graded for one in found], "rewards")
    made = []
    for prompt, drawn, found in zip(prompts, sampled, graded, strict=True):
        responses = [(i, response) for i, response in enumerate(drawn) if isinstance(response, Response)]
        scored = tuple(
            RewardedSample(i, response, grade.score)
            for (i, response), grade in zip(responses, found, strict=True)
            if isinstance(grade, ResponseReward)
        )
        failures = tuple(one for one in (*drawn, *found) if isinstance(one, Failure))
        made.append(Outcome(prompt, scored, failures, choose(scored, settings.keep, settings.min_gain)))
    return made


async def _sample(settings: BestOf, prompts: Sequence[Prompt], session: Session) -> list[Samples]:
    config = session.dated(
        settings.sampler.run(settings.model, settings.seed, settings.samples, settings.chat_template_kwargs)
    )
    policy = chat_model(config, model_registry(config).policy, session.wrap)
    await session.preflight(policy)
    in_flight = asyncio.Semaphore(settings.sampler.prompts_in_flight)

    async def one(prompt: Prompt) -> Samples:
        async with in_flight:
            drawn = await asyncio.gather(*(_response(policy, prompt, i, config.plan) for i in range(settings.samples)))
        session.prompt_done(prompt.id, failed=all(isinstance(response, Failure) for response in drawn))
        return drawn

    return list(await asyncio.gather(*map(one, prompts)))


async def _response(policy: ChatModel, prompt: Prompt, number: int, plan: Plan) -> Response | Failure:
    try:
        return await sample(policy, prompt, number, plan)
    except TransientError as error:
        return Failure(prompt.id, "sample", UNAVAILABLE, str(error), f"{prompt.id}/s{number}")


async def _grade(
    settings: BestOf, prompts: Sequence[Prompt], sampled: Sequence[Samples], folder: Path, session: Session
) -> list[list[ResponseReward | Failure]]:
    """Rewards of each prompt's responses, in order; none for the samples that failed."""
    rewards = open_rewards(settings.reward, settings.seed, session.wrap, day=day_of(folder))
    in_flight = asyncio.Semaphore(settings.sampler.prompts_in_flight)

    async def one(prompt: Prompt, drawn: Samples) -> list[ResponseReward | Failure]:
        responses = [response for response in drawn if isinstance(response, Response)]
        async with in_flight:
            ended = [not response.truncated for response in responses]
            found = await rewards.grade(Candidates(prompt, responses, ended))
        session.prompt_done(prompt.id, failed=all(isinstance(grade, Failure) for grade in found))
        return found

    return list(await asyncio.gather(*map(one, prompts, sampled)))


def _check_complete(found: Sequence[object], what: str) -> None:
    """Raises Unavailable where an engine stayed unavailable: best of fewer responses would be another policy."""
    missing = [one for one in found if isinstance(one, Failure) and one.reason == UNAVAILABLE]
    if missing:
        raise Unavailable(
            f"incomplete: {len(missing)} of {len(found)} {what} could not be obtained ({missing[0].detail}); the rest is cached; "
            "run the same command again to resume"
        )
