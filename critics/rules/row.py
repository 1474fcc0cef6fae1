"""What a prompt's own row says of its responses: the right answer, or rules of its own (verifiable rewards)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import regex
from pydantic import JsonValue, ValidationError

from constitution.checks.check import Check
from constitution.errors import Problem, UserError, problems_of
from constitution.records import Prompt
from critics.text.sentences import sentences

REFERENCE = "reference"
"""The column that is no metadata: the reference answer."""
_MARK = regex.compile(r"####|\\boxed\s*\{|\banswer\s*(?:is\b\s*:?|[:=])", regex.IGNORECASE)
_END = regex.compile(r"\n|[.!?](?=\s|\Z)")
_NUMBER = regex.compile(
    r"(?<![\w.])[-+−]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3})?(?:\s?/\s?\d+)?",
    regex.IGNORECASE,
)
_ARTICLE = regex.compile(r"\b(?:a|an|the)\b")
_NO_WORD = regex.compile(r"[^\w\s]|_")
_SHOWN = 60
"""Characters of a text that a reason shows."""


def cell(prompt: Prompt, column: str) -> JsonValue:
    """What the row has in a column that it came with; None where it has none."""
    if column == REFERENCE and prompt.reference:
        return prompt.reference
    return _columns(prompt.metadata).get(column) if prompt.metadata else None


@lru_cache(256)
def _columns(metadata: str) -> Mapping[str, JsonValue]:
    """A row's columns; they are looked at for every response to its prompt."""
    found: Mapping[str, JsonValue] = json.loads(metadata)
    return found


def own_check(prompt: Prompt, column: str) -> Check | None:
    """The rules that the row has in that column, an object or its JSON; None where it has none.

    Raises UserError where they are no rules, or name a column or a function in turn.
    """
    found = cell(prompt, column)
    if found is None or found == "":
        return None
    place = f"row {prompt.id}, column {column!r}"
    try:
        check = Check.model_validate_json(found) if isinstance(found, str) else Check.model_validate(found)
    except ValidationError as error:
        raise UserError(problems_of(error, Check, place)) from None
    if check.own or check.of_row or check.answer or check.tests:
        raise UserError(Problem(place, got="names a function or a column", allowed="rules that say all by themselves"))
    return check


def wrong_answer(prompt: Prompt, column: str, text: str) -> str | None:
    """Why the response's answer is not the row's, or None where it is, or where the row has none. Several are alternatives.

    The answer is what follows the last mark (`####`, `\\boxed{}`, "the answer is"). Without a mark it is the last number where
    the right one is a number; else the right answer is to be found, as words, in the last sentence.
    """
    found = cell(prompt, column)
    rights = [
        _marked(str(one)) or str(one)
        for one in (found if isinstance(found, list) else [found])
        if one not in (None, "")
    ]
    if not rights or any(_same(right, text) for right in rights):
        return None
    return f"does not answer {' or '.join(repr(one[:_SHOWN]) for one in rights[:3])}"


def _same(right: str, text: str) -> bool:
    number, marked = _value(right), _marked(text)
    if number is not None:
        said = _numbers(text if marked is None else marked)
        return bool(said) and math.isclose(said[0] if marked else said[-1], number, rel_tol=1e-9, abs_tol=1e-12)
    wanted = _words(right)
    if marked is not None:
        return bool(wanted) and _words(marked) == wanted
    last = _words(next(reversed([*sentences(text)]), ""))
    return bool(wanted) and any(last[i : i + len(wanted)] == wanted for i in range(len(last) - len(wanted) + 1))


def _marked(text: str) -> str | None:
    """What follows the last mark, to the end of its sentence, line or braces."""
    marks = list(_MARK.finditer(text))
    if not marks:
        return None
    said = text[marks[-1].end() :].lstrip()
    if marks[-1].group().endswith("{"):
        return said[: _closed(said)].strip()
    end = _END.search(said)
    return said[: end.start() if end else None].strip("*_`\"'$ ")


def _closed(text: str) -> int:
    """Where the brace that is open before the text is closed."""
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if not depth:
            return place
    return len(text)


def _value(text: str) -> float | None:
    """The number that a text is, if it is one; a currency or a percent sign does not count."""
    bare = text.strip().strip("$€£% ").rstrip(".")
    match = _NUMBER.fullmatch(bare)
    return _numbers(bare)[0] if match else None


def _numbers(text: str) -> list[float]:
    found = []
    for match in _NUMBER.finditer(text):
        above, _, below = match.group().replace(",", "").replace("−", "-").replace(" ", "").partition("/")
        if float(below or 1):
            found.append(float(above) / float(below or 1))
    return found


def _words(text: str) -> Sequence[str]:
    return _ARTICLE.sub(" ", _NO_WORD.sub(" ", text.casefold())).split()
