"""`--plan`: how many calls a run will make, said beforehand from what is stored, without a model.

Every step of the pipeline is run against the store alone. A call that is not there and whose prompt is known is certain to
be made; what may follow from its answer is bounded by the rounds and comparisons still open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Stage
from critics import ranking
from generation.chat_model import ChatModel
from generation.config import Plan
from generation.engine import Completion, Request
from generation.pipeline import Step, comparison_principles, given, improve, judged_by_model, sample, vote

T = TypeVar("T")


class NotStored(Exception):
    """The answer to a call is not known yet."""


@dataclass(slots=True)
class Forecast:
    """Calls per stage."""

    reused: Counter[Stage] = field(default_factory=Counter)
    """Answered by the store."""
    certain: Counter[Stage] = field(default_factory=Counter)
    """Known now and not stored: they will be made."""
    following: Counter[Stage] = field(default_factory=Counter)
    """The most that can follow from answers that are not known yet."""

    def most(self) -> int:
        """The most calls the run can make."""
        return self.certain.total() + self.following.total()


class Ledger:
    """An engine that answers from stored calls alone and keeps count. Equal calls are one call."""

    def __init__(self, stored: Callable[[bytes], Completion | None], forecast: Forecast) -> None:
        self._stored = stored
        self._forecast = forecast
        self._seen: set[bytes] = set()
        self.asked: Counter[Stage] = Counter()
        """Every request so far, repeated ones too."""

    async def generate(self, request: Request) -> Completion:
        """The stored answer. Raises NotStored."""
        key = request.key()
        completion = self._stored(key)
        self.asked[request.stage] += 1
        if key not in self._seen:
            self._seen.add(key)
            (self._forecast.certain if completion is None else self._forecast.reused)[request.stage] += 1
        if completion is None:
            raise NotStored
        return completion

    async def close(self) -> None:
        """Nothing to release."""


async def forecast(
    prompts: Iterable[Prompt | Failure],
    constitution: Constitution,
    policy: ChatModel,
    judge: ChatModel,
    plan: Plan,
    ledger: Ledger,
    result: Forecast,
) -> Forecast:
    """Fill `result` for all prompts. `policy` and `judge` must stand on `ledger`, which counts into `result`."""
    for prompt in prompts:
        if isinstance(prompt, Prompt):
            result.following += await _following(prompt, constitution, policy, judge, plan, ledger)
    return result


async def _following(
    prompt: Prompt, constitution: Constitution, policy: ChatModel, judge: ChatModel, plan: Plan, ledger: Ledger
) -> Counter[Stage]:
    """The most calls that can follow, for one prompt, from answers that are not stored."""
    critics = min(plan.critics, len(judged_by_model(prompt, constitution)))
    rounds = plan.rounds if critics else 0
    drafts, unknown = await _drafts(policy, prompt, plan)
    following: Counter[Stage] = Counter({"critique": unknown * rounds * critics, "revise": unknown * rounds})
    known: list[Response] = []
    settled: list[Response] = []
    most = unknown * (1 + rounds)
    open_chains = unknown
    for draft in drafts:
        before = ledger.asked.copy()
        steps, whole = await _until_unknown(improve(judge, prompt, draft, constitution, plan))
        replies = [draft, *(step for step in steps if isinstance(step, Response))]
        known += replies
        most += len(replies)
        if whole:
            settled += replies
        else:
            asked = ledger.asked - before
            following["critique"] += rounds * critics - asked["critique"]
            following["revise"] += rounds - asked["revise"]
            most += rounds - (len(replies) - 1)
            open_chains += 1
    per_pair = 2 * len(comparison_principles(prompt, constitution, plan))
    chains_only = plan.pairs == "revision_original"
    for a, b in ranking.schedule(settled if chains_only else known, plan.pairs):
        for principle in comparison_principles(prompt, constitution, plan):
            await _attempt(vote(judge, prompt, a, b, principle))
    if chains_only:
        following["compare"] += per_pair * open_chains * bool(rounds)
    else:
        following["compare"] += per_pair * (_pairs(most) - _pairs(len(known)))
    return +following


async def _drafts(policy: ChatModel, prompt: Prompt, plan: Plan) -> tuple[list[Response], int]:
    """The replies that are known, and how many are not."""
    if prompt.responses:
        return given(prompt), 0
    drafts = [await _attempt(sample(policy, prompt, i, plan)) for i in range(plan.samples)]
    return [d for d in drafts if isinstance(d, Response)], sum(d is None for d in drafts)


async def _attempt(step: Awaitable[T]) -> T | None:
    try:
        return await step
    except NotStored:
        return None


async def _until_unknown(steps: AsyncIterator[Step]) -> tuple[list[Step], bool]:
    """The steps that can be retraced, and whether that is all of them."""
    retraced: list[Step] = []
    try:
        async for step in steps:
            retraced.append(step)
    except NotStored:
        return retraced, False
    return retraced, True


def _pairs(n: int) -> int:
    return n * (n - 1) // 2
