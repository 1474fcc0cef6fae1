"""`dpo --online`: write responses, have a constitution compare them, learn from the pairs, again.

The loop is PPO's: it samples, evaluates, watches and saves. What it learns from is another: pairs with the judge's probability as
label and DPO's loss, against a reference that stays what it is. Every call of the judge is stored, so that a killed run pays for
none twice.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from asyncio import gather
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console

from constitution.errors import Unavailable
from constitution.loading import load
from constitution.records import Response
from generation.engines.base import Engine, TransientError
from generation.models.factory import OpenEngine, Wrap
from generation.output.folder import day_of
from generation.pipeline.session import CALLS, Session
from training.data.batches import Example
from training.data.encode import PairRow, PromptRow
from training.online.config import OnlineDPO
from training.online.job import prepare
from training.online.pairs import Judged, append, go_back, judged, kept_row
from training.online.update import PairUpdate
from training.ppo import trainer as ppo
from training.ppo.evaluate import PPOWatch
from training.ppo.experience import Experience, Responses, figures
from training.ppo.job import PPOJob
from training.ppo.losses import LOG_RATIO_CAP
from training.ppo.record import Record, averages
from training.ppo.trainer import Loop
from training.recipes.dpo import DPORecipe
from training.rollout.compare import PairwiseJudge, distinct
from training.rollout.rewards import RewardSum
from training.rollout.rollouts import Rollout, as_prompt, hides, seeds_of
from training.run.fit import Stopped


def run(
    settings: OnlineDPO, out: Path, console: Console, wrap: Wrap | None = None, loop: type[OnlineLoop] | None = None
) -> dict[str, Any]:
    """Train, or go on training, and write the checkpoint; returns what training.json says. Raises as `ppo.trainer.run`.

    wrap: puts something in front of the judge's engines, behind the store of calls. loop: a kind of OnlineLoop, in its place.
    """
    return ppo.run(prepare(settings, out), console, partial(_opened, settings, wrap, loop or OnlineLoop))


def _opened(
    settings: OnlineDPO,
    wrap: Wrap | None,
    loop: type[OnlineLoop],
    job: PPOJob,
    accelerator: Accelerator,
    runner: asyncio.Runner,
    record: Record,
    watch: PPOWatch,
) -> OnlineLoop:
    """The loop, with its judge in front of the folder's calls; each process has calls of its own."""
    rank = accelerator.process_index
    session = Session(job.out / (f"{rank}-{CALLS}" if rank else CALLS))
    runner.run(session.__aenter__())
    constitution = load(settings.online.judge.constitution)
    stored = _stored(session, wrap) if wrap else session.wrap
    judge = PairwiseJudge(settings.online.judge, constitution, settings.seed, stored, day_of(job.out))
    rewards = RewardSum({"compare": (1.0, judge)})
    return loop(settings, judge, session, replace(job, rewards=rewards), accelerator, runner, record, watch)


def _stored(session: Session, wrap: Wrap) -> Wrap:
    """The store of calls in front of what `wrap` puts in front of an engine."""

    def put(open_engine: OpenEngine) -> Engine:
        async def opened() -> Engine:
            return wrap(open_engine)

        return session.wrap(opened)

    return put


class PairsOfPrompts(NamedTuple):
    """One process's pairs of an iteration."""

    rows: list[list[PairRow]]
    """Of each prompt."""
    weights: list[float]
    """Importance of each pair, before the cap."""


class OnlineLoop(Loop):
    """PPO's loop, which learns from pairs."""

    def __init__(
        self,
        settings: OnlineDPO,
        judge: PairwiseJudge,
        session: Session,
        job: PPOJob,
        accelerator: Accelerator,
        runner: asyncio.Runner,
        record: Record,
        watch: PPOWatch,
    ) -> None:
        """Load everything. Raises ModelError."""
        super().__init__(job, accelerator, runner, record, watch)
        self._dpo, self._judge, self._session = settings, judge, session
        self._recipe = DPORecipe(settings)
        self._update: PairUpdate = PairUpdate(self.policy, self._recipe, job.settings, accelerator, job.steps)

    def run(self, found: tuple[Path, int] | None) -> ppo.TrainingEnd:
        """As Loop.run; pairs of steps that come again are forgotten."""
        if self._accelerator.is_main_process:
            go_back(self._job.out, found[1] if found else 0)
        return super().run(found)

    def close(self) -> None:
        """Release everything, once the last calls are stored."""
        self._runner.run(self._session.__aexit__(None, None, None))
        super().close()

    def _learned(self, prompts: Sequence[PromptRow], places: Sequence[int], iteration: int) -> dict[str, float]:
        """Sample, compare, learn. Raises Unavailable where models were unavailable, Stopped where nothing can be judged."""
        s, began = self._settings, time.monotonic()
        written = self._responses(prompts, iteration) if prompts else []
        wrote = time.monotonic()
        said = self._sampling.said(prompts, written)
        found = self._compared(prompts, said)
        counts = self._told(found, iteration)
        self._keep(prompts, found, iteration)
        examples = [Example(p.tokens, [one.tokens for one in own]) for p, own in zip(prompts, written, strict=True)]
        sampled: list[Sequence[float]] = [one.logprobs for own in written for one in own]
        responses = Responses(examples, list(places), [0.0] * len(sampled), sampled)
        logp, ref = self._scored(responses, reference=False), self._scored(responses, reference=True, temperature=1.0)
        at = ref if s.sampler.temperature == 1 else self._scored(responses, reference=True)
        table = responses.table(sampled)
        pairs = self._rows(prompts, written, found, (logp - table).sum(1).tolist(), ref.sum(1).tolist())
        known = Experience(responses, responses.mask(), logp, at, torch.zeros_like(logp))
        return {
            **self._of_responses(written, said),
            **figures(known, table, self._accelerator),
            **self._of_weights(pairs.weights),
            **counts,
            **self._update.learn_pairs(pairs.rows, places, iteration),
            "seconds_writing": wrote - began,
        }

    def _responses(self, prompts: Sequence[PromptRow], iteration: int) -> list[list[Rollout]]:
        """What the policy writes."""
        s = self._settings
        return self._sampling.write(prompts, seeds_of(s.seed, iteration, prompts, s.samples))

    def _compared(self, prompts: Sequence[PromptRow], said: Sequence[Sequence[Response]]) -> list[Judged]:
        """What the judge says of each prompt's responses."""

        async def every() -> list[Judged]:
            asked = (self._judge.compared(as_prompt(p), distinct(own)) for p, own in zip(prompts, said, strict=True))
            done = await gather(*asked)
            online, labels = self._dpo.online, self._dpo.labels
            return [judged(own, one, online, labels) for own, one in zip(said, done, strict=True)]

        try:
            return self._runner.run(every())
        except TransientError as error:
            why = f"a judge is unavailable ({error}); its answers so far are kept"
            raise Unavailable(f"incomplete: {why}; run the same command again to resume") from None

    def _told(self, found: Sequence[Judged], iteration: int) -> dict[str, float]:
        """Counts of pairs and votes over all processes. Raises Stopped where no vote that was asked for has an answer."""
        counts: Counter[str] = sum(gather_object([one.counts for one in found]), Counter())
        pairs = sum(gather_object([len(one.pairs) for one in found]))
        failures = [why for why in gather_object([one.failure for one in found]) if why]
        if counts["votes"] and counts["votes"] == counts["votes_missing"]:
            raise Stopped(f"step {iteration + 1}: no pair could be judged; the first vote says: {failures[0]}")
        dropped = {name: float(count) for name, count in counts.items() if name.startswith("dropped_") and count}
        missing = counts["votes_missing"] / counts["votes"] if counts["votes"] else 0.0
        return {"judged_pairs": float(pairs), "votes_missing": missing, **dropped}

    def _keep(self, prompts: Sequence[PromptRow], found: Sequence[Judged], iteration: int) -> None:
        """Write the pairs down."""
        judge, policy = self._dpo.online.judge.model, self._job.files.name
        rows = [
            kept_row(pair, as_prompt(prompt), self._judge.constitution, judge, policy, iteration + 1)
            for prompt, one in zip(prompts, found, strict=True)
            for pair in one.pairs
        ]
        every = gather_object(rows)
        if self._accelerator.is_main_process:
            append(self._job.out, every)

    def _rows(
        self,
        prompts: Sequence[PromptRow],
        written: Sequence[Sequence[Rollout]],
        found: Sequence[Judged],
        ahead: Sequence[float],
        reference: Sequence[float],
    ) -> PairsOfPrompts:
        """The pairs as token ids, as they were sampled; the reference's log-probabilities of them are the recipe's.

        ahead, reference: of each response, log π/π_sampler and the reference's log-probability.
        """
        cap, made = self._dpo.online.importance_cap, PairsOfPrompts([], [])
        self._recipe.references = {}
        start = 0
        for prompt, own, one in zip(prompts, written, found, strict=True):
            made.rows.append([])
            for pair in one.pairs:
                sides = [int(side.id.rpartition("/s")[2]) for side in (pair.chosen, pair.rejected)]
                example = Example(prompt.tokens, tuple(own[i].tokens for i in sides))
                self._recipe.references[example] = tuple(reference[start + i] for i in sides)
                difference = sum(ahead[start + i] for i in sides)
                made.weights.append(float(torch.tensor(difference).clamp(-LOG_RATIO_CAP, LOG_RATIO_CAP).exp()))
                weight = 1.0 if cap is None else min(made.weights[-1], cap)
                p = self._dpo.labels.trusted(pair.p_chosen)
                made.rows[-1].append(PairRow(prompt.prompt.id, example, p, 0.0, weight))
            start += len(own)
        return made

    def _of_weights(self, weights: Sequence[float]) -> dict[str, float]:
        """What is told of the pairs' importance."""
        cap, every = self._dpo.online.importance_cap, gather_object(list(weights))
        if cap is None or not every:
            return {}
        truncated = sum(weight > cap for weight in every) / len(every)
        return {
            "mismatch_weight": statistics.fmean(min(weight, cap) for weight in every),
            "mismatch_truncated": truncated,
        }

    def _of_responses(
        self, written: Sequence[Sequence[Rollout]], said: Sequence[Sequence[Response]]
    ) -> dict[str, float]:
        """What is told of all responses."""
        tokenizer = self._job.tokenizer
        rows = [
            {"truncated": float(not one.ended), "no_end": float(not one.ended), "hidden": float(hides(one, tokenizer))}
            for own in written
            for one in own
        ]
        rows, texts = gather_object(rows), gather_object([one.text for own in said for one in own])
        return averages(rows) | {"rewarded": float(len(rows)), "distinct": len(set(texts)) / len(texts)}
