"""Two policies answer, one after the other; the base scores A's responses; the panel judges. Every call is stored."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from constitution.records import Failure, Message, Prompt, Response, Vote
from critics.ranking.aggregate import RULE_LOG_ODDS
from critics.transcript import message_text
from evaluation.judge.asking import ask_panel
from evaluation.policy.job import EvaluationModels, Job
from evaluation.probes.dialogue import converse
from evaluation.probes.suite import Suite
from evaluation.sampling import draw_or_fail
from evaluation.statistics import Cell
from generation.config import Plan
from generation.engines.base import Completion, ErrorReason, TransientError, failed
from generation.models.chat_model import ChatModel
from generation.output.folder import OwnedFolder
from generation.pipeline.panel import check_forms
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS, CallCount, Session

SILENT = ("empty", "malformed_tool_call")
"""Reasons of a policy's own for which there is no response."""


class SampledResponse(NamedTuple):
    """What a policy said."""

    response: Response
    tokens: int
    truncated: bool
    """The limit ended it."""

    @property
    def text(self) -> str:
        """All that it says, calls of tools among it."""
        return message_text(self.response.message)


Answer = SampledResponse | Failure


class Ratio(NamedTuple):
    """How much likelier a response that A drew at temperature 1 is for A than for the base."""

    nats: float
    tokens: int


class Pair(NamedTuple):
    """A prompt, the i-th response of both, and what was said of them."""

    prompt: Prompt
    a: Answer
    b: Answer
    ratio: Ratio | Failure | None
    """None where the models cannot score."""
    votes: list[Vote | Failure]
    """With a = A's; none where a response is missing, and where the pair is settled."""
    gold: list[Vote | Failure]
    seed: int | None = None
    """Which of several seeds both responses are from; None where there is one."""

    @property
    def cluster(self) -> Hashable:
        """What is resampled: its prompt, and its seed where there are several."""
        return self.prompt.id if self.seed is None else Cell(self.prompt.id, self.seed)

    @property
    def settled(self) -> float | None:
        """Log-odds for A's response where nobody needs to be asked, None elsewhere: equal responses, or two empty ones, are a
        tie; an empty one loses to any other as one that breaks a rule does.
        """
        a, b = _gave(self.a), _gave(self.b)
        if a is None or b is None or (self.both and self.both[0].response.message != self.both[1].response.message):
            return None
        return RULE_LOG_ODDS * (a - b)

    @property
    def both(self) -> tuple[SampledResponse, SampledResponse] | None:
        """Both responses, where there are two."""
        return (self.a, self.b) if isinstance(self.a, SampledResponse) and isinstance(self.b, SampledResponse) else None


def _gave(answer: Answer) -> bool | None:
    """Whether there is a response; None where that there is none says nothing of the policy."""
    return True if isinstance(answer, SampledResponse) else False if answer.reason in SILENT else None


class ProbeAnswers(NamedTuple):
    """Answers of both policies to the job's probes, by prompt id; a conversation's turns have one each."""

    a: dict[str, Answer]
    b: dict[str, Answer]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was asked of models."""

    pairs: list[Pair]
    unread: list[Failure]
    """Rows of the prompts that are none."""
    probe_answers: ProbeAnswers
    calls: CallCount

    def failures(self) -> Iterator[Failure]:
        """All records of what went wrong."""
        yield from self.unread
        for pair in self.pairs:
            for record in (pair.a, pair.b, pair.ratio, *pair.votes, *pair.gold):
                if isinstance(record, Failure):
                    yield record
        yield from (answer for side in self.probe_answers for answer in side.values() if isinstance(answer, Failure))

    @property
    def unavailable(self) -> int:
        """Records that are missing because a model was unavailable: the same command asks again."""
        return sum(failure.reason == UNAVAILABLE for failure in self.failures())


def gather(job: Job) -> Evidence:
    """Ask all that is not stored yet. Raises UserError."""
    with OwnedFolder(job.out, CALLS).locked():
        return asyncio.run(_gather(job))


async def _gather(job: Job) -> Evidence:
    prompts = job.run.plan.samples * sum(isinstance(row, Prompt) for row in job.rows)
    async with Session(job.out / CALLS, reuse=job.reuse, prompts=prompts) as session:
        job = replace(job, run=session.dated(job.run))
        models = job.models(session.wrap)
        judges = [judge.model for judge in models.panel.judges]
        await session.preflight(models.a, models.b, models.base, *judges)
        check_forms(models.panel, job.constitution, job.run.plan, job.weights_file)
        pairs, probe_answers = await ask(job, models, session)
        return Evidence(pairs, [row for row in job.rows if isinstance(row, Failure)], probe_answers, session.calls)


async def ask(job: Job, models: EvaluationModels, session: Session) -> tuple[list[Pair], ProbeAnswers]:
    """Model after model, so that no two need to fit into memory together but the judges of a panel."""
    prompts = [row for row in job.rows if isinstance(row, Prompt)]
    plan, rows = job.run.plan, asyncio.Semaphore(job.run.prompts_in_flight)
    judges = [judge.model for judge in models.panel.judges]
    a, probes_a = await _answers(models.a, "a", prompts, job.probes, plan, rows)
    plain = _undistorted(plan)
    drawn = a if plain == plan or job.unscored else (await _answers(models.a, "kl", prompts, None, plain, rows))[0]
    each = [prompt for prompt in prompts for _ in range(plan.samples)]
    seeds = [number if job.seeds > 1 else None for _ in prompts for number in range(plan.samples)]
    scored = [*zip(each, drawn, strict=True)]
    own = await _scores(models.a, scored, rows, job.unscored)
    await _release(models.a, models.b)
    b, probes_b = await _answers(models.b, "b", prompts, job.probes, plan, rows)
    await _release(models.b, models.base)
    others = await _scores(models.base, scored, rows, job.unscored)
    await _release(models.base, *judges)
    pairs = [
        Pair(prompt, x, y, z if isinstance(z, Failure) and z is not x else _ratio(prompt, one, other), [], [], seed)
        for prompt, seed, x, y, z, one, other in zip(each, seeds, a, b, drawn, own, others, strict=True)
    ]
    judged = await asyncio.gather(*(_judged(job, models, pair, rows, session) for pair in pairs))
    return judged, ProbeAnswers(probes_a, probes_b)


def _undistorted(plan: Plan) -> Plan:
    """The plan with responses that are samples of the policy itself, as the KL needs them."""
    return plan.model_copy(update={"sample": plan.sample.model_copy(update={"temperature": 1.0, "top_p": 1.0})})


async def _release(model: ChatModel, *needed: ChatModel) -> None:
    """Close a model's engine unless it is needed next; a later call would open it again."""
    if not any(model is other for other in needed):
        await model.engine.close()


async def _answers(
    model: ChatModel,
    side: str,
    prompts: Sequence[Prompt],
    probes: Suite | None,
    plan: Plan,
    rows: asyncio.Semaphore,
) -> tuple[list[Answer], dict[str, Answer]]:
    """plan.samples responses to each prompt in its turn, and one to each prompt of a probe. Both policies have the same seeds."""
    probed: dict[str, Answer] = {}

    async def one(prompt: Prompt, index: int) -> Answer:
        async with rows:
            drawn = await draw_or_fail(model, prompt, index, plan)
        if isinstance(drawn, Failure):
            return drawn
        response, completion = drawn
        named = replace(response, id=f"{prompt.id}/{side}{index}")
        return SampledResponse(named, completion.usage.completion, completion.finish == "length")

    async def probe(prompt: Prompt) -> Message | None:
        answer = probed[prompt.id] = await one(prompt, 0)
        return answer.response.message if isinstance(answer, SampledResponse) else None

    answers = asyncio.gather(*(one(prompt, index) for prompt in prompts for index in range(plan.samples)))
    if probes:
        talks = (converse(dialogue, probe) for dialogue in probes.dialogues)
        await asyncio.gather(*map(probe, probes.prompts), *talks)
    return await answers, probed


async def _scores(
    model: ChatModel, answers: Sequence[tuple[Prompt, Answer]], rows: asyncio.Semaphore, unscored: str
) -> list[Completion | None]:
    """Log-probabilities of each response's tokens; None where there is no response, or no score to be had."""

    async def one(prompt: Prompt, answer: Answer) -> Completion | None:
        if unscored or not isinstance(answer, SampledResponse):
            return None
        async with rows:
            try:
                text = answer.response.raw
                ended, told = not answer.truncated, prompt.template_kwargs
                return await model.likelihood(prompt.messages, text, prompt.tools, ended, told)
            except TransientError as error:
                return failed(ErrorReason.UNAVAILABLE, str(error))

    return await asyncio.gather(*(one(prompt, answer) for prompt, answer in answers))


def _ratio(prompt: Prompt, own: Completion | None, other: Completion | None) -> Ratio | Failure | None:
    """log p_A - log p_base of a response, or why there is none."""
    if own is None or other is None:
        return None
    for completion in (own, other):
        if completion.error:
            return Failure(prompt.id, "likelihood", completion.error.reason, completion.error.detail)
    if len(own.scores) != len(other.scores):
        detail = f"{len(own.scores)} tokens by A, {len(other.scores)} by the base"
        return Failure(prompt.id, "likelihood", "other_tokenizer", detail)
    nats = math.fsum(own.scores) - math.fsum(other.scores)
    if not math.isfinite(nats):
        return Failure(prompt.id, "likelihood", "score_nan", "a token's log-probability is missing")
    return Ratio(nats, len(own.scores))


async def _judged(job: Job, models: EvaluationModels, pair: Pair, rows: asyncio.Semaphore, session: Session) -> Pair:
    """The pair with its votes, unless it is settled without any."""
    both = pair.both
    if both is not None and pair.settled is None:
        a, b = (response.response for response in both)
        ask_about = partial(ask_panel, run=job.run, prompt=pair.prompt, a=a, b=b, rows=rows, vetoes=True)
        votes = await ask_about(models.panel, job.constitution)
        gold = await ask_about(models.unweighted, job.gold) if job.gold else []
        pair = pair._replace(votes=votes, gold=gold)
    session.prompt_done(pair.prompt.id, failed=both is None and pair.settled is None)
    return pair
