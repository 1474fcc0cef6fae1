"""Judgements that are written down: asked for several times, each answer cut free of thoughts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from constitution.records import Message
from critics.answers import UNREAD, smoothed
from critics.text.thoughts import split
from generation.config import Plan
from generation.engines.base import Completion, Sampling, Subject
from generation.models.chat_model import ChatModel, derive_seed
from generation.tasks import aside, together

T = TypeVar("T")


class NoOdds(NamedTuple):
    """Why there are no log-odds."""

    reason: str
    detail: str


async def sampled(
    model: ChatModel, messages: tuple[Message, ...], schema: str, plan: Plan, subject: Subject
) -> list[Completion]:
    """`plan.verdict_answers` answers, each with a seed of its own. schema: sent to a server that follows one."""
    decoding, schema = plan.verdict, schema if model.capabilities.structured else ""

    async def once(index: int) -> Completion:
        seed = derive_seed(plan.seed, "verdict", index) if decoding.temperature else None
        sampling = Sampling(decoding.max_tokens, decoding.temperature, decoding.top_p, seed)
        return await model.ask(
            messages, stage="compare", sampling=sampling, index=index, schema=schema, subject=subject
        )

    return await together(*map(once, range(plan.verdict_answers)))


async def answers_of(
    completions: Sequence[Completion], model: ChatModel, read: Callable[[str], T]
) -> list[tuple[str, T] | NoOdds]:
    """Of each completion the answer after the thoughts and what is read in it, or why there is none."""

    def each(completion: Completion) -> tuple[str, T] | NoOdds:
        answer = answered(completion, model)
        return answer if isinstance(answer, NoOdds) else (answer, read(answer))

    return [await aside(partial(each, completion), len(completion.text)) for completion in completions]


def odds(answers: Iterable[tuple[str, float | None] | NoOdds]) -> float | NoOdds:
    """Log-odds of the smoothed share of the answers that say something, or why none does.

    answers: each one's text, and the share that it gives the first response, 0 to 1; None where it states nothing.
    """
    shares: list[float] = []
    lost: list[NoOdds] = []
    for found in answers:
        if isinstance(found, NoOdds):
            lost.append(found)
            continue
        answer, share = found
        if share is None:
            lost.append(NoOdds(UNREAD, answer[-200:]))
        else:
            shares.append(share)
    return smoothed(shares) if shares else lost[0]


def answered(completion: Completion, model: ChatModel) -> str | NoOdds:
    """The answer after the thoughts, or why there is none. One that the limit cut is not whole, whatever it begins with."""
    if completion.error:
        return NoOdds(*completion.error)
    answer, thought = split(completion.text, model.capabilities.thinks)
    if completion.finish == "length" or not answer:
        reason = "truncated" if completion.finish == "length" else "thoughts_only" if thought else "empty"
        return NoOdds(reason, completion.text[-200:])
    return answer
