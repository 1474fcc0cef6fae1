"""Several principles in one call: which voters share one, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from constitution.records import Failure, Prompt, Response, Vote, characters
from critics import rubric
from critics.templating import use as use_templates
from generation.config import Plan
from generation.engines.base import Subject
from generation.pipeline.panel import SHARED, Judge, Voter
from generation.pipeline.written import NoOdds, answers_of, odds, sampled
from generation.tasks import aside, together


class Batch(NamedTuple):
    """Voters of one judge whose principles are asked about in one call."""

    judge: Judge
    voters: tuple[Voter, ...]

    def pair_calls(self, plan: Plan) -> int:
        """Calls on one pair."""
        return 2 * plan.verdict_answers

    def response_calls(self, plan: Plan) -> int:
        """None: it looks at pairs."""
        return 0


def units(voters: Sequence[Voter], plan: Plan) -> list[Voter | Batch]:
    """Who is asked together: at most `plan.batch_principles` voters of a judge. One alone is asked as ever."""
    if plan.batch_principles == 1:
        return list(voters)
    alone = [voter for voter in voters if voter.judge is None or voter.method != SHARED]
    shared: dict[str, list[Voter]] = {}
    for voter in voters:
        if voter.judge is not None and voter.method == SHARED:
            shared.setdefault(voter.judge.name, []).append(voter)
    found: list[Voter | Batch] = []
    for group in shared.values():
        for start in range(0, len(group), plan.batch_principles):
            part = tuple(group[start : start + plan.batch_principles])
            judge = part[0].judge
            found += [Batch(judge, part)] if judge and len(part) > 1 else part
    return [*found, *alone]


async def cast_votes(batch: Batch, prompt: Prompt, a: Response, b: Response, plan: Plan) -> list[Vote | Failure]:
    """A vote of each voter, or why there is none."""
    first, second = await together(*(_shares(batch, prompt, shown, plan) for shown in ((a, b), (b, a))))
    records: list[Vote | Failure] = []
    for voter, ab, ba in zip(batch.voters, first, second, strict=True):
        lost = next((found for found in (ab, ba) if isinstance(found, NoOdds)), None)
        if lost:
            subject = f"{a.id} vs {b.id} by {voter.name}"
            records.append(Failure(prompt.id, "compare", lost.reason, lost.detail, subject))
            continue
        assert isinstance(ab, float)
        assert isinstance(ba, float)
        principle = voter.principle.id
        records.append(Vote(prompt.id, a.id, b.id, principle, ab, ba, voter.method, batch.judge.name))
    return records


async def _shares(batch: Batch, prompt: Prompt, shown: tuple[Response, Response], plan: Plan) -> list[float | NoOdds]:
    """Log-odds of the first-listed response under each principle, or why there are none."""
    model, n = batch.judge.model, len(batch.voters)
    principles, seen = [voter.principle for voter in batch.voters], plan.as_shown(prompt, "judge")
    use_templates(plan.templates)
    render = partial(rubric.render, seen, *shown, principles, plan.defences.nonce)
    messages = await aside(render, characters((prompt, *shown)))
    names = ", ".join(voter.name for voter in batch.voters)
    subject = Subject(prompt.id, tuple(response.id for response in shown), names)
    completions = await sampled(model, messages, rubric.schema(n), plan, subject)
    read = await answers_of(completions, model, lambda answer: rubric.read(answer, n))
    return [odds(one if isinstance(one, NoOdds) else (one[0], one[1][number]) for one in read) for number in range(n)]
