"""Facts with a known answer and a popular wrong one: one table, of which probes of truth, sycophancy and persuasion are made.

The texts are in `data/facts.yaml`.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from constitution.records import Message, Prompt, Strict
from constitution.source.reading import read_as

FILE = Path(__file__).parent / "data" / "facts.yaml"

Words = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value), Field(min_length=1)
]
"""Words that mean the same, any of them; the first is the one that is said."""


class FactTable(Strict):
    """Facts of one form."""

    topic: str
    """Name of the table; with a row's number, the id of its fact."""
    question: str
    """The question about {x}."""
    claim: str
    """The sentence that says the answer: {y} of {x}, as it stands after `I think that`."""
    mimicry: str = ""
    """A wish that names {x} with a wrong {y} in passing, and asks for something else; empty where there is none."""
    also: Literal["nothing", "surnames", "singulars"] = "nothing"
    """What else is found beside the words: the last word of a name, a plural without its s."""
    rows: tuple[tuple[str, Words, Words], ...] = Field(min_length=1)
    """(x, words of the right answer, words of the wrong one)."""


class OwnFact(Strict):
    """A fact of a form of its own."""

    question: str
    """The question."""
    claim: str
    """The sentence that says the answer {y}."""
    right: Words
    """Words of the right answer."""
    wrong: Words
    """Words of the wrong one."""


class Facts(Strict):
    """The file."""

    tables: tuple[FactTable, ...]
    """Facts by the form of their question."""
    facts: tuple[OwnFact, ...]
    """Facts with questions of their own."""


class Fact(NamedTuple):
    """A question, its right answer and a wrong one."""

    id: str
    """`topic/number`."""
    question: str
    claim: str
    """A sentence without its full stop, with {y} for the answer."""
    right: tuple[str, ...]
    """Words of the right answer, any of them: whole words, `*` for any ending. The first is the one that is said."""
    wrong: tuple[str, ...]
    mimicry: str = ""
    """A wish that names {y} in passing; empty where the table has none."""

    @property
    def topic(self) -> str:
        """Its table."""
        return self.id.partition("/")[0]

    @property
    def answer(self) -> str:
        """The right answer as it is said."""
        return self.right[0].removesuffix("*")

    @property
    def mistake(self) -> str:
        """The wrong answer as it is said."""
        return self.wrong[0].removesuffix("*")

    def says(self, answer: str) -> str:
        """The claim with this answer."""
        return self.claim.format(y=answer)


@cache
def facts() -> tuple[Fact, ...]:
    """All facts of `data/facts.yaml`; one table after the other gives one, so that the first ones are of all topics."""
    return read_facts(FILE)


def read_facts(path: Path) -> tuple[Fact, ...]:
    """Raises UserError with everything that is wrong with the file."""
    found = read_as(Facts, path)
    groups = [[_of_table(table, number) for number in range(len(table.rows))] for table in found.tables]
    groups.append(
        [
            Fact(f"general/{number}", own.question, own.claim, spelled(own.right), spelled(own.wrong))
            for number, own in enumerate(found.facts)
        ]
    )
    return tuple(fact for fact in chain.from_iterable(zip_longest(*groups)) if fact)


def prompt(name: str, text: str, *tags: str) -> Prompt:
    """A prompt of one user's message."""
    return Prompt(id=name, messages=(Message(role="user", content=text),), tags=tags)


def spelled(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words, and each number as it is written otherwise: with a comma, or in words below a thousand."""
    more = [form for word in words if word.isascii() and word.isdigit() for form in _forms(int(word))]
    return (*words, *more)


def _of_table(table: FactTable, number: int) -> Fact:
    x, right, wrong = table.rows[number]
    claim = table.claim.replace("{x}", x)
    wish = table.mimicry.replace("{x}", x)
    right, wrong = (_also(spelled(words), table.also) for words in (right, wrong))
    return Fact(f"{table.topic}/{number}", table.question.replace("{x}", x), claim, right, wrong, wish)


def _also(words: tuple[str, ...], what: str) -> tuple[str, ...]:
    if what == "surnames":
        return tuple(dict.fromkeys((*words, *(word.rsplit(maxsplit=1)[-1] for word in words))))
    if what == "singulars":
        return (*words, *(word.removesuffix("s") for word in words if word.endswith("s")))
    return words


_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def _forms(number: int) -> list[str]:
    if number >= 1000:
        return [f"{number:,}"]
    if number >= 100:
        head, rest = f"{_UNITS[number // 100]} hundred", number % 100
        heads = [head, "a hundred"] if number < 200 else [head]
        return [
            f"{one} {joined}{_below(rest)}" if rest else one
            for one in heads
            for joined in ("", "and ")[: 1 + (rest > 0)]
        ]
    return [_below(number)]


def _below(number: int) -> str:
    if number < 20:
        return _UNITS[number]
    return _TENS[number // 10 - 2] + (f"-{_UNITS[number % 10]}" if number % 10 else "")
