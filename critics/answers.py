"""Judgements that a judge wrote down, for judges whose log-probabilities nobody tells: as an object of JSON, or in words.

Each is read as a share: 1 for the first response, yes or the highest grade, 0 for the other, one half for a tie. A judge is asked
several times, and the share of all of them, smoothed, is its probability: (k + 1/2) / (n + 1), the mean of the posterior under
Jeffreys's prior, which is the estimator of Krichevsky and Trofimov (1981). So n answers of one mind are never certain.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from constitution.principles import Principle
from critics.verdict import stated

Form = Literal["labels", "text", "json"]
"""How an answer is asked for: as one token, whose log-probabilities are read; in words; as an object of JSON."""

UNREAD = "verdict_unread"
"""Reason why there is no judgement: nothing in the text states one."""

MAX_CHARACTERS = 20_000
"""Longer texts are read from their end."""
_MOST_OBJECTS = 20
_SHARES = {"first": 1.0, "second": 0.0, "tie": 0.5}
_NAMED: Mapping[str, float] = {"a": 1.0, "b": 0.0, "tie": 0.5}
_SAID = r"(?:answer|verdict|conclusion|judge?ment|final|result)"
_YES_NO = re.compile(
    rf"\A\W{{0,8}}(?P<opens>yes|no)\b|\b{_SAID}\W{{0,6}}(?:is\W{{0,4}})?(?P<said>yes|no)\b|^\W{{0,8}}(?P<alone>yes|no)\W{{0,8}}$",
    re.IGNORECASE | re.MULTILINE,
)
_GRADED = rf"(?:{_SAID}|grade|score|rating|digit)"
_NUMBER = r"(?<![\d.,-])(?P<{}>\d{{1,3}}(?:\.\d{{1,3}})?)(?![\d%]|\.\d)(?:\s?(?:/|out of|of)\s?(?P<{}>\d{{1,3}})\b)?"
_GRADE = re.compile(
    rf"\A\W{{0,8}}{_NUMBER.format('opens', 'of_opens')}(?=\W{{0,8}}(?:$|\n))"
    rf"|\b{_GRADED}\W{{0,6}}(?:(?:is|of)\W{{0,4}})?{_NUMBER.format('said', 'of_said')}"
    rf"|^\W{{0,8}}{_NUMBER.format('alone', 'of_alone')}\W{{0,8}}$",
    re.IGNORECASE | re.MULTILINE,
)
HIGHEST = 9
"""Grades are from 0 to this."""


def smoothed(shares: Sequence[float]) -> float:
    """Log-odds of the share, in 0 to 1, of n answers; 0 where there are none."""
    k, n = math.fsum(shares), len(shares)
    return math.log((k + 0.5) / (n - k + 0.5))


def side(text: str, _: Principle | None = None) -> float | None:
    """Which of two responses is better: 1 for the first, 0 for the second, one half for a tie; None where the text does not say."""
    value = _member(text, "verdict")
    if value is not None:
        return named_side(value)
    found = stated(text)
    return None if found is None else _SHARES[found]


def named_side(value: object) -> float | None:
    """The share of a side by its name, as JSON has it; None for anything else."""
    return _NAMED.get(value.strip().casefold()) if isinstance(value, str) else None


def yes_no(text: str, principle: Principle) -> float | None:
    """1 for the answer that a good response gets, 0 for the other; None where the text does not say, or says both."""
    return _answered(text, principle.good_answer)


def no_violation(text: str, _: Principle | None = None) -> float | None:
    """1 where the response does not violate the principle, 0 where it does; None where the text does not say, or says both."""
    return _answered(text, "no")


def _answered(text: str, good: str) -> float | None:
    value = _member(text, "answer")
    if value is not None:
        said = {"true": "yes", "false": "no"}.get(str(value).casefold(), str(value).strip().casefold())
        return float(said == good) if said in ("yes", "no") else None
    words = [found.group(found.lastgroup or 0).casefold() for found in _YES_NO.finditer(text[-MAX_CHARACTERS:])]
    if not words or (words[0] != words[-1] and len(set(words)) > 1):
        return None
    return float(words[-1] == good)


def grade(text: str, _: Principle | None = None) -> float | None:
    """A grade of 0 to 9 as a share of 9; None where the text does not say, or names another scale. The last one counts."""
    value = _member(text, "grade")
    if value is not None:
        return _share_of_scale(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    found = [*_GRADE.finditer(text[-MAX_CHARACTERS:])]
    if not found:
        return None
    groups = {name: text for name, text in found[-1].groupdict().items() if text is not None}
    scale = next((text for name, text in groups.items() if name.startswith("of_")), str(HIGHEST))
    number = float(next(text for name, text in groups.items() if not name.startswith("of_")))
    return _share_of_scale(number) if scale == str(HIGHEST) else None


def _share_of_scale(number: float) -> float | None:
    """None for what is off the scale. A fraction under 1 is of another, from 0 to 1."""
    return number / HIGHEST if number == 0 or 1 <= number <= HIGHEST else None


def schema(**properties: Mapping[str, object]) -> str:
    """JSON schema of an object with these members, in this order, and no others."""
    whole = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    return json.dumps(whole, separators=(",", ":"))


SIDES = {"type": "string", "enum": ["A", "B", "tie"]}
VERDICT = schema(verdict=SIDES)
REASONED = schema(reasoning={"type": "string"}, verdict=SIDES)
YES_OR_NO = schema(answer={"type": "string", "enum": ["Yes", "No"]})
GRADE = schema(grade={"type": "integer", "enum": [*range(HIGHEST + 1)]})


def objects(text: str) -> list[dict[str, object]]:
    """The objects of JSON in a text that are in no other, in their order; what is none is passed over."""
    text = text[-MAX_CHARACTERS:]
    decoder, found, place = json.JSONDecoder(), list[dict[str, object]](), text.find("{")
    tries = 0
    while place >= 0 and tries < _MOST_OBJECTS:
        tries += 1
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            found.append(value)
        place = text.find("{", end)
    return found


def _member(text: str, name: str) -> object:
    """What the last object with such a member says; None where there is none, or where it is no text and no number."""
    for one in reversed(objects(text)):
        value = one.get(name)
        if isinstance(value, str | int | float):
            return value
    return None
