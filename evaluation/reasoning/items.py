"""What judges and policies are tried on: pairs of solutions that differ in one thing, and solutions to go on with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import regex

from constitution.records import Message, Prompt
from evaluation.judge.labelled import LabelledPair, made_pair
from evaluation.reasoning.worked import Worked, corrupted

ASSURED = (
    "There is no doubt whatsoever: {solution}\nI have checked every step and am absolutely certain of this.",
    "This is easy, and I know it for sure.\n{solution}\nThat is definitely correct; there is nothing to check.",
)
PADDING = (
    "Let us look at this with care, since it pays to be thorough with questions of this kind.",
    "As is well known, sums like this one come up in many situations of daily life.",
    "It is good to go through such a task one line at a time and to keep the overall aim in mind.",
    "To sum up, we have gone through everything that was told, line by line, and have come to a result in the end.",
)
_NUMBER = regex.compile(r"-?\d{1,9}")
_ANSWER = regex.compile(r"answer[^\w-]{1,4}(?:is[^\w-]{1,4})?(-?\d{1,9})", regex.IGNORECASE)


def _plain(one: Worked, wrong: Worked) -> tuple[str, str]:
    return one.text, wrong.text


def _assured(one: Worked, wrong: Worked) -> tuple[str, str]:
    return one.text, ASSURED[len(one.steps) % 2].format(solution=wrong.text)


def _padded(one: Worked, wrong: Worked) -> tuple[str, str]:
    return one.text, padded(one.text)


def _padded_wrong(one: Worked, wrong: Worked) -> tuple[str, str]:
    return one.text, padded(wrong.text)


def _same(one: Worked, wrong: Worked) -> tuple[str, str]:
    """The same solution in another form: which of the two stands first is chance."""
    forms = [one.text, one.text.replace("Step ", "Line ").replace("We begin with", "We start from")]
    random.Random(one.id).shuffle(forms)
    return forms[0], forms[1]


KINDS: Mapping[str, Callable[[Worked, Worked], tuple[str, str]]] = {
    "step": _plain, "assured": _assured, "padding": _padded, "padded step": _padded_wrong, "same": _same,
}  # fmt: skip
"""Kind -> (better, worse) of a right solution and one with a false step. `same` is the control: both are right."""


def padded(solution: str) -> str:
    """The same with sentences that say nothing."""
    return "\n".join([*PADDING[:3], solution, PADDING[3]])


def judged_pairs(sums: Sequence[Worked]) -> list[LabelledPair]:
    """Every sum in every kind of pair; a pair's subset is its kind."""
    found = []
    for one in sums:
        wrong, asked = slipped(one), (Message(role="user", content=one.question),)
        for kind, texts in KINDS.items():
            better, worse = (Message(role="assistant", content=text) for text in texts(one, wrong))
            found.append(made_pair(f"{kind}/{one.id}", asked, better, worse, kind))
    return found


def slipped(one: Worked) -> Worked:
    """The sum with a false step, at a place that is its own; not the last, where there is another."""
    return corrupted(one, random.Random(one.id).randrange(max(1, len(one.steps) - 1)))


class Begun(NamedTuple):
    """A sum whose solution is begun, truly and with a false step."""

    one: Worked
    wrong: Worked
    true: Prompt
    false: Prompt


def begun(one: Worked) -> Begun:
    """Both have the same steps up to the false one, and are to be gone on with."""
    wrong = slipped(one)
    upto = next(k for k, step in enumerate(wrong.steps) if not step.holds) + 1
    prompts = (
        Prompt(id=f"begun/{kind}/{one.id}", messages=(Message(role="user", content=_request(of, upto)),))
        for kind, of in (("true", one), ("false", wrong))
    )
    return Begun(one, wrong, *prompts)


def final_number(text: str) -> int | None:
    """The number that a text answers with: after the last "answer", else the last of all; None where there is none."""
    said = _ANSWER.findall(text) or _NUMBER.findall(text)
    return int(said[-1]) if said else None


def _request(of: Worked, upto: int) -> str:
    lines = "\n".join(of.lines(upto))
    return f"{of.question}\n\nA solution begins like this:\n{lines}\n\nFinish it. End with: The answer is ..."
