"""Worked solutions of sums, made from a seed, and the same with one step that is false and everything else as it should be."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

import regex

_APPLY: Mapping[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_PLACES = ("shed", "bakery", "library", "harbour", "garden", "workshop", "school", "market")
_THINGS = ("crates", "loaves", "books", "ropes", "pots", "planks", "chairs", "lamps")
_CHANGES: Mapping[str, tuple[str, ...]] = {
    "+": ("{n} more {things} are brought in", "a cart delivers {n} {things}", "{n} {things} are found in a corner"),
    "-": ("{n} {things} are given away", "{n} {things} break", "a neighbour borrows {n} {things}"),
    "*": ("then there are {n} times as many {things}",),
}
_STEP = regex.compile(r"(?<!\d)(-?\d{1,9}) ([-+*]) (\d{1,9}) = (-?\d{1,9})")


class Step(NamedTuple):
    """One line of a solution: `left sign right = value`, true or not."""

    left: int
    sign: str
    right: int
    value: int

    @property
    def holds(self) -> bool:
        """Whether the line is true."""
        return _APPLY[self.sign](self.left, self.right) == self.value

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.left} {self.sign} {self.right} = {self.value}"


class Worked(NamedTuple):
    """A sum and a solution of it."""

    id: str
    question: str
    start: int
    steps: tuple[Step, ...]

    @property
    def answer(self) -> int:
        """What the solution ends with."""
        return self.steps[-1].value

    @property
    def text(self) -> str:
        """The whole solution."""
        return "\n".join([*self.lines(len(self.steps)), f"The answer is {self.answer}."])

    def lines(self, upto: int) -> list[str]:
        """The beginning and the first steps."""
        return [
            f"We begin with {self.start}.",
            *(f"Step {k}: {step.text}." for k, step in enumerate(self.steps[:upto], 1)),
        ]


def worked(count: int, seed: int = 0, steps: tuple[int, int] = (3, 6)) -> list[Worked]:
    """Sums with their right solutions, the same for a seed. steps: fewest and most of a solution."""
    return [_worked(number, random.Random(f"{seed}/{number}"), steps) for number in range(count)]


def corrupted(whole: Worked, at: int, seed: int = 0) -> Worked:
    """The same with a false step `at`, from 0; later steps go on from its value and are true, so the answer is another.

    It is off by 1, 2 or 10, as a slip is.
    """
    draw = random.Random(f"{seed}/{whole.id}/{at}")
    value, steps = whole.start, list[Step]()
    for k, step in enumerate(whole.steps):
        left, value = value, _APPLY[step.sign](value, step.right)
        value += draw.choice((-10, -2, -1, 1, 2, 10)) if k == at else 0
        steps.append(Step(left, step.sign, step.right, value))
    return whole._replace(id=f"{whole.id}/step-{at + 1}", steps=tuple(steps))


def read_steps(text: str) -> list[Step]:
    """The steps that a text writes, true or not, in their order."""
    return [Step(int(a), sign, int(b), int(value)) for a, sign, b, value in _STEP.findall(text)]


def _worked(number: int, draw: random.Random, most: tuple[int, int]) -> Worked:
    place, things = draw.choice(_PLACES), draw.choice(_THINGS)
    start = value = draw.randint(12, 60)
    steps, told = list[Step](), list[str]()
    for _ in range(draw.randint(*most)):
        sign = draw.choice("++--*" if value < 200 else "++--")
        n = draw.randint(2, 3) if sign == "*" else draw.randint(3, 40 if sign == "+" else max(4, min(40, value - 1)))
        steps.append(Step(value, sign, n, _APPLY[sign](value, n)))
        value = steps[-1].value
        told.append(draw.choice(_CHANGES[sign]).format(n=n, things=things))
    question = f"A {place} has {start} {things}. First {', then '.join(told)}. How many {things} are there in the end?"
    return Worked(f"sum-{number}", question.replace("then then", "then"), start, tuple(steps))
