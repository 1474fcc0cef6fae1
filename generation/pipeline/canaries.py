"""Canaries: pairs with a known answer, judged along with a run to tell how well its judges do."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace
from typing import NamedTuple

from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Vote
from critics.canaries import load
from generation.config import Plan
from generation.engines.base import TransientError
from generation.pipeline.panel import Panel, Voter
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.steps import comparison_principles, given
from generation.pipeline.voting import votes_on

STAGE = "canary"
"""Stage of the failures of canaries, which are no prompts of the run."""


class CanaryPair(NamedTuple):
    """A prompt and two replies, the better one first."""

    kind: str
    prompt: Prompt
    replies: tuple[Response, Response]


@dataclass(frozen=True, slots=True)
class CanaryOutcome:
    """What the panel said of a canary."""

    kind: str
    votes: tuple[Vote, ...]
    """a is the better reply."""
    failures: tuple[Failure, ...]
    right: bool
    """It got a label, and the right one."""


def canaries(plan: Plan) -> list[CanaryPair]:
    """The first `plan.canaries` of those that are shipped."""
    pairs = []
    for number, canary in enumerate(load()[: plan.canaries]):
        prompt = Prompt(id=f"canary-{number}", messages=canary.prompt, responses=(*canary.chosen, *canary.rejected))
        better, worse = given(prompt)
        pairs.append(CanaryPair(canary.kind, prompt, (better, worse)))
    return pairs


async def judge_canaries(panel: Panel, constitution: Constitution, plan: Plan) -> list[CanaryOutcome]:
    """Ask the panel's models about every canary, as about any pair. Rules need no test."""
    asked = [(pair, voters) for pair in canaries(plan) if (voters := canary_voters(pair, panel, constitution, plan))]
    return list(await gather(*(_judge(pair, voters, panel, constitution, plan) for pair, voters in asked)))


def canary_voters(pair: CanaryPair, panel: Panel, constitution: Constitution, plan: Plan) -> list[Voter]:
    """Who is asked about a canary."""
    voters = panel.voters(comparison_principles(pair.prompt, constitution, panel, plan))
    return [voter for voter in voters if voter.judge]


async def _judge(
    pair: CanaryPair, voters: list[Voter], panel: Panel, constitution: Constitution, plan: Plan
) -> CanaryOutcome:
    try:
        records = await votes_on(panel, voters, pair.prompt, *pair.replies, plan)
    except TransientError as error:
        records = [Failure(pair.prompt.id, "engine", UNAVAILABLE, str(error))]
    votes = tuple(record for record in records if isinstance(record, Vote))
    failures = tuple(replace(record, stage=STAGE) for record in records if isinstance(record, Failure))
    combined = panel.score(votes, constitution, plan)
    right = combined is not None and not combined.undecided and combined.logit > 0
    return CanaryOutcome(pair.kind, votes, failures, right)
