"""What a principle and a constitution are, and which principles a row is asked under."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Literal

import regex
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from constitution.checks.check import Check
from constitution.digest import digest, integer
from constitution.errors import invalid, shown
from constitution.records import Strict

ID = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Ids become column values and names: lower-case letters, digits, `-` and `_`."""


def slug(text: str) -> str:
    """The text as an id: `Acme Support` -> `acme-support`; empty where nothing is left."""
    return regex.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:64]


def _is_id(value: object) -> object:
    if isinstance(value, str) and not regex.fullmatch(ID, value):
        fix = f"write {slug(value)}" if slug(value) else ""
        raise invalid(f"got {shown(value)}", "at most 64 lower-case letters, digits, `-` and `_`", fix)
    return value


Id = Annotated[StrictStr, Field(pattern=ID), BeforeValidator(_is_id)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Text = Annotated[StrictStr, Field(min_length=1, max_length=4000)]


class Example(Strict):
    """One worked critique and revision, shown to the critic and the reviser."""

    prompt: Text
    """What the user asked."""
    response: Text
    """The response that is criticized."""
    critique: Text
    """What the critic should say of it."""
    revision: Text
    """The better response."""


class AppliesTo(Strict):
    """Which prompts a principle applies to."""

    tags: tuple[StrictStr, ...] = Field(min_length=1)
    """A prompt that has any of them."""


class Principle(Strict):
    """One rule of conduct, and how to ask about it.

    >>> solon.Principle(id="calm", objective="tone", text="Stay calm.").judged
    True
    """

    id: Id
    """Its name in votes, columns and messages; unique in its constitution."""
    objective: Id
    """What it serves; one of the constitution's objectives."""
    weight: Weight = 1.0
    """Weight of its vote within its objective."""
    text: Text
    """The rule itself, as one says it to a model."""
    antithesis: Text | None = None
    """The opposite, for likelihood-contrast judging."""
    critique: Text | None = None
    """How to ask for a critique of one response; a default is built from `text`."""
    revise: Text | None = None
    """How to ask for a revision; a default is built from `text`."""
    compare: Text | None = None
    """How to ask which of two responses is better; a default is built from `text`."""
    ask: Text | None = None
    """How to ask yes or no about one response; a default is built from `text`."""
    good_answer: Literal["yes", "no"] = "yes"
    """The answer that a good response gets to `ask`."""
    examples: tuple[Example, ...] = ()
    """Worked critiques and revisions, shown to the critic and the reviser."""
    applies_to: AppliesTo | None = None
    """Which prompts it applies to; all of them where absent."""
    veto: StrictBool = False
    """A response that violates it loses to one that does not, whatever the rest say."""
    violation: Text | None = None
    """How to ask yes or no whether one response violates it, yes for a violation; a default is built from `text`. Asked where it
    has a veto and a model judges it."""
    check: Check | None = None
    """Judged by this rule, not by a model."""

    @property
    def judged(self) -> bool:
        """True when a model judges it."""
        return self.check is None

    @property
    def critique_request(self) -> str:
        """The author's words, or a default built from `text`."""
        return self.critique or f"Does the reply follow this principle? {self.text}"

    @property
    def revise_request(self) -> str:
        """The author's words, or a default built from `text`."""
        return self.revise or f"Rewrite the reply so that it follows this principle: {self.text}"

    @property
    def compare_request(self) -> str:
        """The author's words, or a default built from `text`."""
        return self.compare or f"Which reply follows this principle better? {self.text}"

    @property
    def ask_request(self) -> str:
        """The author's words, or a default built from `text`."""
        return self.ask or f"Does the reply follow this principle? {self.text}"

    @property
    def violation_request(self) -> str:
        """The author's words, or a default built from `text`."""
        return self.violation or f"Does the reply clearly violate this principle? {self.text}"

    @model_validator(mode="after")
    def _answer_to_a_question(self) -> Principle:
        if self.ask is None and self.good_answer == "no":
            fix = "write a question in `ask` to which the answer is no for a good response"
            raise invalid("got 'no', but there is no `ask`", fix=fix, key="good_answer")
        return self

    @model_validator(mode="after")
    def _violation_of_a_veto(self) -> Principle:
        if self.violation is not None and not self.veto:
            fix = "add `veto: true`, or delete it"
            raise invalid("is a question that only a principle with a veto asks", fix=fix, key="violation")
        return self

    @cached_property
    def digest(self) -> str:
        """32 hex characters over everything in it."""
        return _digest(self)


class Constitution(Strict):
    """Principles, the objectives they serve, and how those are weighed.

    >>> calm = solon.Principle(id="calm", objective="tone", text="Stay calm.")
    >>> mild = solon.Constitution(name="mild", version=1, objectives={"tone": 1.0}, principles=(calm,))
    >>> mild.by_id("calm").weight
    1.0
    """

    name: Id
    """Its name, in run folders and dataset cards."""
    version: Annotated[int, Field(ge=0, strict=True)]
    """Raised by its author with each edit that matters."""
    description: StrictStr = ""
    """What it is for, in a sentence."""
    license: StrictStr = ""
    """License of its text, as hub cards spell it."""
    objectives: dict[Id, Weight] = Field(min_length=1)
    """Objective -> its weight in the mixture."""
    principles: tuple[Principle, ...] = Field(min_length=1)
    """The rules of conduct."""

    @cached_property
    def digest(self) -> str:
        """32 hex characters over everything in it, whatever files it came from."""
        return _digest(self)

    @cached_property
    def _by_id(self) -> dict[str, Principle]:
        return {principle.id: principle for principle in self.principles}

    @cached_property
    def vetoes(self) -> frozenset[str]:
        """Ids of the principles with a veto."""
        return frozenset(principle.id for principle in self.principles if principle.veto)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Columns of a prompt's row that its rules read."""
        checks = [principle.check for principle in self.principles if principle.check]
        return frozenset(name for check in checks for name in (check.answer, check.of_row, check.tests) if name)

    def by_id(self, name: str) -> Principle:
        """The principle of that id. Raises KeyError."""
        return self._by_id[name]

    def applicable(self, tags: Sequence[str]) -> tuple[Principle, ...]:
        """The principles that apply to a prompt with these tags."""
        return tuple(p for p in self.principles if p.applies_to is None or not set(tags).isdisjoint(p.applies_to.tags))


def assign(principles: Sequence[Principle], key: str, k: int) -> tuple[Principle, ...]:
    """The k principles a row is asked under, in the given order: rendezvous hashing of (key, id).

    A principle's text plays no part, so editing it moves nothing; adding one principle to 16 moves about 1/17 of the rows.
    Method: Thaler and Ravishankar 1998, "Using name-based mappings to increase hit rates".
    """
    if k >= len(principles):
        return tuple(principles)

    def weight(principle: Principle) -> int:
        return integer(f"{key}\0{principle.id}")

    drawn = {principle.id for principle in sorted(principles, key=weight, reverse=True)[:k]}
    return tuple(principle for principle in principles if principle.id in drawn)


def _digest(model: BaseModel) -> str:
    """Over what is there: a field that is left out is none of it, so that a new one changes no digest."""
    text = json.dumps(model.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"))
    return digest(text)
