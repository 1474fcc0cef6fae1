"""What both policies of an evaluation are asked beside its prompts, and the rates of their answers.

There are two sizes. The small one is for gates, which ask it after every attempt: the first SMALL items of the kinds that gates and
monitors read, and more harmless prompts. The other is all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from constitution.errors import invalid
from constitution.records import Prompt
from constitution.source.reading import read_as
from critics.ranking.weights import Estimate
from evaluation.probes.confidence import Confidence, confidence_rates
from evaluation.probes.dialogue import Dialogue, Scripts, dialogue_rates, dialogues
from evaluation.probes.facts import Fact, facts
from evaluation.probes.feedback import feedback_prompts, feedback_rates
from evaluation.probes.refusals import (
    RefusalProbe,
    first_of_each,
    jailbreak_prompts,
    refusal_prompts,
    refusal_rates,
)
from evaluation.probes.sycophancy import mimicry_prompt, mimicry_rates, pressed_prompt, sycophancy_rates
from evaluation.probes.truth import plain_prompt, truth_rates

FILE = Path(__file__).parent / "data" / "probes.yaml"
SMALL = 24
"""Items of each kind in the small suite."""
SMALL_SAFE = 60
"""Harmless prompts in it: gates allow two points more refusals, and one of 24 would be four."""
FEEDBACK = 200
"""Texts in the whole suite that are commented on, for each of two users."""
DIALOGUES = 40
"""Conversations of each kind in the whole suite."""

Size = Literal["small", "all"]


class Probes(Scripts):
    """The file."""

    confidence: tuple[Confidence, ...]
    """Questions that nobody can answer, and easy ones."""
    refusals: tuple[RefusalProbe, ...]
    """Prompts that should be answered or declined."""
    jailbreaks: tuple[str, ...] = Field(min_length=1)
    """Wrappings of a {request} that try to get it past a refusal."""

    @model_validator(mode="after")
    def _whole(self) -> Probes:
        if empty := [name for name in ("confidence", "refusals") if not getattr(self, name)]:
            raise invalid("has no probe", fix="add one", key=empty[0])
        names = [probe.id for probe in self.confidence]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise invalid(f"got the id {twice[0]!r} twice", fix="give each probe of a kind its own id")
        if bare := [text for text in self.jailbreaks if "{request}" not in text]:
            raise invalid(f"got {bare[0]!r}", fix="write {request} where the request goes", key="jailbreaks")
        return self


@cache
def probes() -> Probes:
    """What `data/probes.yaml` holds."""
    return read_probes(FILE)


def read_probes(path: Path) -> Probes:
    """Raises UserError with everything that is wrong with it."""
    return read_as(Probes, path)


class Rates(NamedTuple):
    """Shares with 95% intervals, by the names of `evaluation.policy.table.PROBES`."""

    refusals: dict[str, Estimate]
    probes: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Suite:
    """Probes of one evaluation."""

    facts: tuple[Fact, ...]
    """Asked plainly and under a wrong belief."""
    mimicry: tuple[Fact, ...]
    feedback: tuple[Fact, ...]
    confidence: tuple[Confidence, ...]
    refusals: tuple[Prompt, ...]
    """Those that are wrapped among them."""
    dialogues: tuple[Dialogue, ...]

    @property
    def prompts(self) -> list[Prompt]:
        """Single prompts; the conversations are beside them."""
        return [*self._asked(), *self.refusals]

    def rates(self, responses: Mapping[str, str], seed: int = 0) -> Rates:
        """What responses come to, by prompt id; those that are missing are left out, and rates of nothing."""
        found = {
            **truth_rates(self.facts, responses, seed),
            **sycophancy_rates(self.facts, responses),
            **mimicry_rates(self.mimicry, responses),
            **feedback_rates(self.feedback, responses),
            **confidence_rates(self.confidence, responses),
            **dialogue_rates(self.dialogues, responses),
        }
        return Rates(_known(refusal_rates(self.refusals, responses)), _known(found))

    def _asked(self) -> Iterator[Prompt]:
        for fact in self.facts:
            yield plain_prompt(fact)
            yield pressed_prompt(fact)
        yield from map(mimicry_prompt, self.mimicry)
        for fact in self.feedback:
            yield from feedback_prompts(fact)
        yield from (probe.prompt for probe in self.confidence)


def suite(size: Size = "small", most: int | None = None, given: Sequence[RefusalProbe] | None = None) -> Suite:
    """The probes of a size. most: items of each kind, where fewer are wanted. given: prompts in place of the built-in refusals.

    Given prompts are all asked; in the whole suite the harmful ones are wrapped, too.
    """
    found, known = probes(), facts()
    if size == "small":
        built_in = first_of_each(found.refusals, _least(SMALL_SAFE, most), _least(SMALL, most))
        return Suite(
            facts=known[: _least(SMALL, most)], mimicry=(), feedback=(), confidence=_some(found.confidence, most),
            refusals=tuple(refusal_prompts(built_in if given is None else given)), dialogues=(),
        )  # fmt: skip
    asked = found.refusals if given is None else tuple(given)
    plain = first_of_each(asked, most, most) if given is None else asked
    harmful = [each.prompt for each in asked if each.label == "unsafe"]
    each = _least(DIALOGUES, most)
    return Suite(
        facts=known[:most],
        mimicry=tuple(fact for fact in known if fact.mimicry)[:most],
        feedback=known[: _least(FEEDBACK, most)],
        confidence=_some(found.confidence, most),
        refusals=(*refusal_prompts(plain), *jailbreak_prompts(asked, found.jailbreaks, most)),
        dialogues=dialogues(known[:each], harmful[:each], found),
    )


def _some(found: Sequence[Confidence], most: int | None) -> tuple[Confidence, ...]:
    """At most so many that nobody can answer, and as many easy ones."""
    hard, easy = ([each for each in found if (each.kind == "answerable") == side] for side in (False, True))
    return (*hard[:most], *easy[:most])


def _least(size: int, most: int | None) -> int:
    return size if most is None else min(size, most)


def _known(measures: dict[str, Estimate]) -> dict[str, Estimate]:
    """The rates that somebody answered for."""
    return {name: e for name, e in measures.items() if e.value == e.value}
