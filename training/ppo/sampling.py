"""Responses to the prompts of an iteration, with their rewards, group by group: those to one prompt together."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from accelerate.utils import gather_object

from constitution.errors import Unavailable
from constitution.records import Failure, Response
from critics.transcript import message_text
from generation.engines.base import TransientError
from generation.pipeline.scheduler import UNAVAILABLE
from training.data.batches import Example
from training.data.encode import PromptRow
from training.ppo.config import PPO
from training.ppo.evaluate import Grade
from training.ppo.experience import Responses, equal, shape_reward
from training.ppo.job import PPOJob
from training.ppo.record import averages
from training.rollout.rewards import RewardSum
from training.rollout.rollouts import Rollout, Writer, as_prompt, as_response, hides, seeds_of
from training.rollout.rules import Candidates
from training.run.fit import Stopped


class Group(NamedTuple):
    """The responses to one prompt."""

    place: int
    """Of the prompt among all prompts of the iteration."""
    prompt: PromptRow
    rollouts: Sequence[Rollout]
    graded: Sequence[Grade]
    hidden: Sequence[bool]
    """Of each response, whether it hides something."""

    def scores(self, settings: PPO) -> list[float]:
        """Of the responses with a reward, as they are learnt from."""
        return [
            shape_reward(grade.score, rollout.ended, settings, len(rollout.tokens), hidden)
            for rollout, (_, grade), hidden in zip(self.rollouts, self.graded, self.hidden, strict=True)
            if not isinstance(grade, Failure)
        ]


class Sampling:
    """One process's sampler and rewards."""

    def __init__(self, job: PPOJob, writer: Writer, runner: asyncio.Runner) -> None:
        self._job, self._settings = job, job.settings
        self._writer, self._runner = writer, runner

    def write(self, prompts: Sequence[PromptRow], seeds: Sequence[Sequence[int]]) -> list[list[Rollout]]:
        """Responses by the sampler. Raises Unavailable where it failed."""
        try:
            return self._writer.write(prompts, seeds)
        except TransientError as error:
            raise Unavailable(f"the sampler failed ({error}); run the same command again to resume") from None

    def said(self, prompts: Sequence[PromptRow], written: Sequence[Sequence[Rollout]]) -> list[list[Response]]:
        """Each response as text."""
        return [
            [as_response(prompt, i, answer, self._job.tokenizer) for i, answer in enumerate(answers)]
            for prompt, answers in zip(prompts, written, strict=True)
        ]

    def graded(
        self,
        prompts: Sequence[PromptRow],
        written: Sequence[Sequence[Rollout]],
        rewards: RewardSum,
        others: Mapping[str, Response] | None = None,
    ) -> list[list[Grade]]:
        """Each response with its reward. others: prompt -> the response that comparisons are made with, in place of the group's
        own."""
        said = self.said(prompts, written)
        asked = [
            Candidates(
                as_prompt(prompt),
                responses,
                [answer.ended for answer in answers],
                [others[prompt.prompt.id]] if others else (),
            )
            for prompt, responses, answers in zip(prompts, said, written, strict=True)
        ]
        grades = self._runner.run(rewards.grade_all(asked))
        return [list(zip(*both, strict=True)) for both in zip(said, grades, strict=True)]

    def groups(self, prompts: Sequence[PromptRow], places: Sequence[int], iteration: int) -> list[Group]:
        """As many responses to each prompt as the settings say, with their rewards."""
        s = self._settings
        written = self.write(prompts, seeds_of(s.seed, iteration, prompts, s.samples)) if prompts else []
        graded = self.graded(prompts, written, self._job.rewards)
        return [
            Group(place, prompt, rollouts, grades, [hides(one, self._job.tokenizer) for one in rollouts])
            for place, prompt, rollouts, grades in zip(places, prompts, written, graded, strict=True)
        ]

    def resampled(self, groups: Sequence[Group], iteration: int) -> tuple[list[Group], list[Group]]:
        """(The groups, those whose scores are equal replaced by groups of other prompts while there are some; those replaced)."""
        s, found, replaced = self._settings, list(groups), list[Group]()
        for turn in range(s.resample_times if s.equal_groups == "resample" else 0):
            dull = [i for i, group in enumerate(found) if equal(group.scores(s), s)]
            others = [(i, self._job.other_prompt(iteration, turn, found[i].place)) for i in dull]
            drawn = [(i, prompt) for i, prompt in others if prompt]
            new = self.groups([prompt for _, prompt in drawn], [found[i].place for i, _ in drawn], iteration)
            for (i, _), group in zip(drawn, new, strict=True):
                replaced.append(found[i])
                found[i] = group
        return found, replaced


def responses_to_learn(groups: Sequence[Group], settings: PPO) -> Responses:
    """The responses that have a reward."""
    responses, dropped = Responses([], [], [], []), set[int]()
    for group in groups:
        kept = [
            rollout
            for rollout, (_, grade) in zip(group.rollouts, group.graded, strict=True)
            if not isinstance(grade, Failure)
        ]
        if not kept:
            continue
        scores = group.scores(settings)
        if settings.baseline == "group" and settings.equal_groups != "keep" and equal(scores, settings):
            dropped.add(len(responses.examples))
        responses.examples.append(Example(group.prompt.tokens, [rollout.tokens for rollout in kept]))
        responses.places.append(group.place)
        responses.scores += scores
        responses.sampled += [rollout.logprobs for rollout in kept]
    responses.dropped = frozenset(dropped)
    return responses


def sampling_figures(
    groups: Sequence[Group], replaced: Sequence[Group], settings: PPO, iteration: int
) -> tuple[dict[str, float], Counter[str]]:
    """What is told of all responses of an iteration, and their failures, over all processes; those that were replaced count too.

    Raises Stopped where none has a reward, Unavailable where that is because models were unavailable.
    """
    every = [*groups, *replaced]
    rows: list[dict[str, float]] = []
    failures: list[str] = []
    for group in every:
        for rollout, (_, grade), hidden in zip(group.rollouts, group.graded, group.hidden, strict=True):
            rows.append({"truncated": float(not rollout.ended), "no_end": float(not rollout.ended)})
            rows[-1]["hidden"] = float(hidden)
            if isinstance(grade, Failure):
                failures.append(f"{grade.reason}: {grade.detail}")
            else:
                rows[-1] |= {"score": grade.score, **grade.parts}
    texts = [message_text(response.message) for group in every for response, _ in group.graded]
    dull = [{"equal_groups": float(equal(group.scores(settings), settings))} for group in every]
    rows, failures, texts, dull = (gather_object(part) for part in (rows, failures, texts, dull))
    lost = gather_object([len(replaced)])
    if len(failures) == len(rows):
        why = f"step {iteration + 1}: none of {len(rows)} responses has a reward; the first says: {failures[0]}"
        if any(failure.startswith(f"{UNAVAILABLE}: ") for failure in failures):
            raise Unavailable(f"incomplete: {why}; run the same command again to resume from the last checkpoint")
        raise Stopped(why)
    found = averages(rows) | {"failed": float(len(failures)), "rewarded": float(len(rows) - len(failures))}
    found["score_std"] = statistics.pstdev(row["score"] for row in rows if "score" in row)
    found["distinct"] = len(set(texts)) / len(texts)
    if settings.baseline == "group":
        found |= averages(dull) | {"resampled": float(sum(lost))}
    return found, Counter(failures)
