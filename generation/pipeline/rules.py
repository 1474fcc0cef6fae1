"""Rules, held against responses: what they say as critiques and as votes, in time that holds up no call."""

from __future__ import annotations

from functools import partial

from constitution.checks.check import Check
from constitution.errors import UserError
from constitution.principles import Constitution, Principle
from constitution.records import Critique, Failure, Prompt, Response, Vote, characters
from critics.ranking.aggregate import rule_vote
from critics.rules.check import violates
from generation.tasks import LONG, aside

LANE = "rules"
"""Beside other texts, which need not wait for the code of responses that a rule runs."""


async def broken_rules(prompt: Prompt, response: Response, constitution: Constitution) -> list[Critique | Failure]:
    """A critique by each rule that the response breaks."""
    found: list[Critique | Failure] = []
    for principle in constitution.applicable(prompt.tags):
        if principle.check is None:
            continue
        try:
            held = partial(violates, principle.check, prompt, response.message)
            broken = await aside(held, _characters(principle.check, response), LANE)
        except UserError as error:
            found.append(Failure(prompt.id, "critique", "rule_error", str(error), response.id))
            continue
        if broken:
            found.append(Critique(prompt.id, response.id, principle.id, f"{principle.text} Here: {broken}.", True))
    return found


async def vote_by_rule(
    principle: Principle, prompt: Prompt, a: Response, b: Response, subject: str
) -> Vote | Failure | None:
    """A rule's judgement of one pair; None where it sees no difference. subject: the pair, and who judges it."""
    assert principle.check is not None
    try:
        return await aside(partial(rule_vote, prompt, a, b, principle), _characters(principle.check, a, b), LANE)
    except UserError as error:
        return Failure(prompt.id, "compare", "rule_error", str(error), subject)


def _characters(check: Check, *responses: Response) -> int:
    """Of the responses; as of long ones where what somebody else wrote, a function, tests or a pattern, may take long for any."""
    others = (check.own, check.of_row, check.tests, check.json_schema, check.must_match, check.must_not_match)
    return LONG + 1 if any(part is not None for part in others) else characters(responses)
