"""Labelled pairs: a prompt, the response people chose and the one they rejected."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from constitution.digest import digest
from constitution.errors import Problem, Problems, UserError, problems_of
from constitution.records import Message, Prompt, Response
from evaluation.files import json_lines

MOST_PROBLEMS = 20
"""Problems of rows that are told where no row is a pair."""
MOST_CHARACTERS = 1 << 20
"""Of a row."""


class LabelledRow(BaseModel):
    """One line of a file. Keys that are not read are left alone: published sets have many."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    prompt: str | tuple[Message, ...]
    """What was asked: text, or messages."""
    chosen: str | tuple[Message]
    """The better response: text, or one message."""
    rejected: str | tuple[Message]
    """The worse response, likewise."""
    id: str = ""
    """Name of the pair; `row-LINE` where it is empty."""
    subset: str = ""
    """Group of pairs that gets an accuracy of its own."""
    tags: tuple[str, ...] = ()
    """Labels of the prompt, by which principles apply to it or not."""


class LabelledPair(NamedTuple):
    """A pair as the panel is asked about it."""

    id: str
    """Unique in its file; also the prompt's id, and so prompt_id of the votes on it."""
    prompt: Prompt
    better: Response
    worse: Response
    subset: str = ""

    @property
    def group(self) -> str:
        """The same for pairs of one prompt: they are never on both sides of a cross-validation's cut."""
        return digest("\n".join(f"{m.role}: {m.content.strip()}" for m in self.prompt.messages))


def read_labelled(path: Path, limit: int | None = None) -> tuple[list[LabelledPair], tuple[Problem, ...]]:
    """(pairs, what is wrong with the rows that are none). Raises UserError when there is no pair at all."""
    pairs: dict[str, LabelledPair] = {}
    problems = Problems()
    for number, line in json_lines(path):
        if limit is not None and len(pairs) == limit:
            break
        place = f"{path}:{number}"
        if len(line) > MOST_CHARACTERS:
            got, allowed = f"has {len(line):,} characters", f"{MOST_CHARACTERS:,} a row"
            problems.add(place, got=got, allowed=allowed, fix="shorten its texts or leave it out")
            continue
        try:
            row = LabelledRow.model_validate_json(line)
        except ValidationError as error:
            problems.found += problems_of(error, LabelledRow, place)
            continue
        if not row.prompt:
            got = "no text" if row.prompt == "" else "no messages"
            problems.add(place, "prompt", f"got {got}", "text, or one message or more", "say what was asked")
            continue
        better, worse = (_message(response) for response in (row.chosen, row.rejected))
        if better == worse:
            problems.add(place, got="chosen and rejected are equal", allowed="two different responses")
            continue
        name = row.id if row.id and row.id not in pairs else f"{row.id or 'row'}-{number}"
        pairs[name] = made_pair(name, _conversation(row.prompt), better, worse, row.subset, row.tags)
    if not pairs:
        first = Problem(str(path), got="holds no labelled pair", fix="each line needs prompt, chosen and rejected")
        raise UserError((first, *problems.found[:MOST_PROBLEMS]))
    return list(pairs.values()), tuple(problems.found)


def made_pair(
    name: str,
    conversation: tuple[Message, ...],
    better: Message,
    worse: Message,
    subset: str = "",
    tags: tuple[str, ...] = (),
) -> LabelledPair:
    """A pair from its messages."""
    prompt = Prompt(id=name, messages=conversation, tags=tags)
    first, second = (
        Response(f"{name}/{side}", name, message, "given", message.content)
        for side, message in (("better", better), ("worse", worse))
    )
    return LabelledPair(name, prompt, first, second, subset)


def _conversation(prompt: str | tuple[Message, ...]) -> tuple[Message, ...]:
    return (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt


def _message(response: str | tuple[Message]) -> Message:
    return Message(role="assistant", content=response) if isinstance(response, str) else response[0]
