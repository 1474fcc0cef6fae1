"""Responses to every prompt, and their rewards: each call kept, so that it is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Unavailable
from constitution.records import Failure, Prompt, Response
from generation.calls.store import CallStore
from generation.calls.stored import Stored
from generation.config import Plan
from generation.engines.base import Engine, TransientError
from generation.models.chat_model import ChatModel
from generation.models.factory import OpenEngine, chat_model, model_registry
from generation.pipeline.feedback import sample
from generation.pipeline.progress import Progress
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS
from training.best_of.choice import Choice, Scored, choose
from training.best_of.config import BestOf
from training.rollout.rewards import Graded, open_rewards

Drawn = Sequence[Response | Failure]
"""What each sample of a prompt came to, in order."""


class Outcome(NamedTuple):
    """What became of one prompt."""

    prompt: Prompt
    responses: tuple[Scored, ...]
    """Those with a reward."""
    failures: tuple[Failure, ...]
    """The others, a record each."""
    choice: Choice


def outcomes(settings: BestOf, prompts: Sequence[Prompt], folder: Path) -> list[Outcome]:
    """Write, grade and choose; in the prompts' order. First everything is written, then graded: two large models never meet.

    Raises ModelError, StoreError, and Unavailable where an engine stayed unavailable for some.
    """
    with closing(CallStore(folder / CALLS, reuse=[Path(other) / CALLS for other in settings.reuse])) as store:
        return asyncio.run(_outcomes(settings, prompts, store))


async def _outcomes(settings: BestOf, prompts: Sequence[Prompt], store: CallStore) -> list[Outcome]:
    written = await _write(settings, prompts, store)
    _whole([one for drawn in written for one in drawn], "responses")
    graded = await _grade(settings, prompts, written, store)
    _whole([one for found in graded for one in found], "rewards")
    made = []
    for prompt, drawn, found in zip(prompts, written, graded, strict=True):
        responses = [(i, response) for i, response in enumerate(drawn) if isinstance(response, Response)]
        scored = tuple(
            Scored(i, response, grade.score)
            for (i, response), grade in zip(responses, found, strict=True)
            if isinstance(grade, Graded)
        )
        failures = tuple(one for one in (*drawn, *found) if isinstance(one, Failure))
        made.append(Outcome(prompt, scored, failures, choose(scored, settings.keep, settings.min_gain)))
    return made


async def _write(settings: BestOf, prompts: Sequence[Prompt], store: CallStore) -> list[Drawn]:
    config = settings.sampler.run(settings.model, settings.seed, settings.samples)
    rows = asyncio.Semaphore(settings.sampler.prompts_in_flight)
    engines: list[Stored] = []
    with Progress(len(prompts)) as progress:

        def wrap(open_engine: OpenEngine) -> Engine:
            engines.append(Stored(store, open_engine, progress.call))
            return engines[-1]

        async def one(prompt: Prompt) -> Drawn:
            async with rows:
                drawn = await asyncio.gather(
                    *(_response(policy, prompt, i, config.plan) for i in range(settings.samples))
                )
            progress.row(failed=all(isinstance(response, Failure) for response in drawn))
            return drawn

        try:
            policy = chat_model(config, model_registry(config).policy, wrap)
            return list(await asyncio.gather(*map(one, prompts)))
        finally:
            for engine in engines:
                await engine.close()


async def _response(policy: ChatModel, prompt: Prompt, number: int, plan: Plan) -> Response | Failure:
    try:
        return await sample(policy, prompt, number, plan)
    except TransientError as error:
        return Failure(prompt.id, "sample", UNAVAILABLE, str(error), f"{prompt.id}/s{number}")


async def _grade(
    settings: BestOf, prompts: Sequence[Prompt], written: Sequence[Drawn], store: CallStore
) -> list[list[Graded | Failure]]:
    """Of each prompt's responses that are one, in order."""
    rows = asyncio.Semaphore(settings.sampler.prompts_in_flight)
    with Progress(len(prompts)) as progress:
        rewards = open_rewards(settings.reward, settings.seed, lambda opening: Stored(store, opening, progress.call))

        async def one(prompt: Prompt, drawn: Drawn) -> list[Graded | Failure]:
            responses = [response for response in drawn if isinstance(response, Response)]
            async with rows:
                found = await rewards.grade_all([(prompt, response, not response.truncated) for response in responses])
            progress.row(failed=all(isinstance(grade, Failure) for grade in found))
            return found

        try:
            return list(await asyncio.gather(*map(one, prompts, written)))
        finally:
            await rewards.close()


def _whole(found: Sequence[object], what: str) -> None:
    """Raises Unavailable where an engine stayed unavailable: best of fewer responses would be another policy."""
    missing = [one for one in found if isinstance(one, Failure) and one.reason == UNAVAILABLE]
    if missing:
        raise Unavailable(
            f"incomplete: {len(missing)} of {len(found)} {what} could not be had ({missing[0].detail}); the rest is cached; "
            "run the same command again to resume"
        )
