"""What a reward says of one response, and the reward that needs no model: the rules of a constitution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from constitution.errors import Problem, UserError
from constitution.principles import Constitution, Principle
from constitution.records import Failure, Prompt, Response
from critics.rules.check import violates
from training.monitor.moves import PRINCIPLE

STAGE = "reward"
"""Of the failures that are records of a missing reward."""


class Part(NamedTuple):
    """What one source says of a response."""

    value: float
    """As it comes, before any weight."""
    details: Mapping[str, float] = {}
    """More that is logged: `success`, `head_spread`, and `principle/ID`, the share to which a response keeps a principle."""


class Candidates(NamedTuple):
    """Responses to one prompt that are rewarded together."""

    prompt: Prompt
    responses: Sequence[Response]
    ended: Sequence[bool]
    """Of each response; False where it was cut at the limit."""
    others: Sequence[Response] = ()
    """Responses that comparisons are made with in place of these among each other."""


class Source(Protocol):
    """Something that rewards responses."""

    digests: Mapping[str, str]
    """Name -> digest of what it judges by."""

    async def grade(self, prompt: Prompt, response: Response, ended: bool = True) -> Part | Failure:
        """The reward, or why there is none. Never a guess. ended: False for a response that was cut at the limit."""
        ...

    async def close(self) -> None:
        """Release models. Safe to call twice."""
        ...


@runtime_checkable
class GroupSource(Protocol):
    """Something that rewards responses to the same prompt by each other."""

    digests: Mapping[str, str]
    """Name -> digest of what it judges by."""

    async def grade_group(self, group: Candidates) -> list[Part | Failure]:
        """The reward of each response, or why there is none."""
        ...

    async def close(self) -> None:
        """Release models. Safe to call twice."""
        ...


class Rules:
    """The weighted share of the rules that a response keeps, 0 to 1; `success` is 1 where it keeps them all."""

    def __init__(self, constitution: Constitution) -> None:
        """Raises UserError for a constitution without rules."""
        self._constitution = constitution
        self.digests: Mapping[str, str] = {"rules": constitution.digest}
        if all(principle.judged for principle in constitution.principles):
            got, fix = f"{constitution.name} has no principle with a `check`", "add one, or use judge"
            raise UserError(Problem("", "constitution", got, fix=fix))

    async def grade(self, prompt: Prompt, response: Response, ended: bool = True) -> Part | Failure:
        """A rule that cannot be applied is a Failure of the response."""
        rules = applicable(self._constitution, prompt, judged=False)
        if not rules:
            return no_principle(prompt, response, self._constitution)
        try:
            kept = {
                rule.id: float(violates(rule.check, prompt, response.message) is None) for rule in rules if rule.check
            }
        except UserError as error:
            return Failure(prompt.id, STAGE, "rule_error", str(error), response.id)
        details = {f"{PRINCIPLE}{name}": value for name, value in kept.items()}
        violated = {name: 0.0 for name, value in kept.items() if not value and name in self._constitution.vetoes}
        return Part(merit(kept, self._constitution, violated), {"success": float(all(kept.values())), **details})

    async def close(self) -> None:
        """Nothing to release."""


def applicable(constitution: Constitution, prompt: Prompt, *, judged: bool) -> tuple[Principle, ...]:
    """The principles that apply to a prompt and are judged by a model, or by a rule."""
    return tuple(p for p in constitution.applicable(prompt.tags) if p.judged is judged)


def no_principle(prompt: Prompt, response: Response, constitution: Constitution) -> Failure:
    """The record of a prompt that no principle of this kind applies to."""
    detail = f"no principle of {constitution.name} applies to tags {', '.join(prompt.tags) or '(none)'}"
    return Failure(prompt.id, STAGE, "no_principle", detail, response.id)


def merit(values: Mapping[str, float], constitution: Constitution, violated: Mapping[str, float]) -> float:
    """What values by principle come to, weighed as votes are: each objective's weighted mean, then the mixture's.

    violated: principle with a veto that is violated -> the most that the whole can be. Raises KeyError for a principle that the
    constitution has not.
    """
    objectives: dict[str, list[tuple[float, float]]] = {}
    for name, value in values.items():
        principle = constitution.by_id(name)
        objectives.setdefault(principle.objective, []).append((principle.weight, value))
    weighed = [(constitution.objectives[name], _mean(found)) for name, found in objectives.items()]
    return min([_mean(weighed), *violated.values()])


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    return math.fsum(weight * value for weight, value in pairs) / math.fsum(weight for weight, _ in pairs)
