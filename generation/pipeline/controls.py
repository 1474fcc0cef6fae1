"""Control pairs, whose answer is known, judged along with a run to tell how well its judges do."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Vote
from critics.controls import load
from generation.config import Plan
from generation.engines.base import TransientError
from generation.output.records import CONTROL, CONTROL_PROMPT, ControlOutcome
from generation.pipeline.feedback import comparison_principles, given
from generation.pipeline.panel import Panel, Voter
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.voting import votes_on
from generation.tasks import together


class ControlPair(NamedTuple):
    """A prompt and two responses, the better one first."""

    kind: str
    prompt: Prompt
    responses: tuple[Response, Response]


def controls(plan: Plan) -> list[ControlPair]:
    """The first `plan.controls` of those that are shipped."""
    pairs = []
    for number, control in enumerate(load()[: plan.controls]):
        prompt = Prompt(
            id=f"{CONTROL_PROMPT}{number}", messages=control.prompt, responses=(*control.chosen, *control.rejected)
        )
        better, worse = (response for response in given(prompt) if isinstance(response, Response))
        pairs.append(ControlPair(control.kind, prompt, (better, worse)))
    return pairs


async def judge_controls(panel: Panel, constitution: Constitution, plan: Plan) -> list[ControlOutcome]:
    """Ask the panel's models about every control, as about any pair. Rules need no test."""
    asked = [(pair, voters) for pair in controls(plan) if (voters := control_voters(pair, panel, constitution, plan))]
    return await together(*(_judge(pair, voters, panel, constitution, plan) for pair, voters in asked))


def control_voters(pair: ControlPair, panel: Panel, constitution: Constitution, plan: Plan) -> list[Voter]:
    """Who is asked about a control, beside those who may veto."""
    voters = panel.voters(comparison_principles(pair.prompt, constitution, panel, plan))
    return [voter for voter in voters if voter.judge]


def control_vetoes(pair: ControlPair, panel: Panel, constitution: Constitution) -> list[Voter]:
    """Who may veto one response of a control."""
    return [voter for voter in panel.vetoes(constitution.applicable(pair.prompt.tags)) if voter.judge]


async def _judge(
    pair: ControlPair, voters: list[Voter], panel: Panel, constitution: Constitution, plan: Plan
) -> ControlOutcome:
    vetoes = control_vetoes(pair, panel, constitution)
    try:
        records = await votes_on(panel, voters, pair.prompt, *pair.responses, plan, vetoes)
    except TransientError as error:
        records = [Failure(pair.prompt.id, "engine", UNAVAILABLE, str(error))]
    votes = tuple(record for record in records if isinstance(record, Vote))
    failures = tuple(replace(record, stage=CONTROL) for record in records if isinstance(record, Failure))
    combined = panel.score(records, constitution, plan)
    right = combined is not None and not combined.undecided and combined.logit > 0
    return ControlOutcome(pair.kind, votes, failures, right)
