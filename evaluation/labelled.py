"""Labelled pairs: a prompt, the reply people chose and the one they rejected."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from constitution.records import Message, Prompt, Response
from evaluation.inputs import InputError, explain


class LabelledRow(BaseModel):
    """One line of a file. Keys that are not read are left alone: published sets have many."""

    model_config = ConfigDict(frozen=True)

    prompt: str | tuple[Message, ...]
    chosen: str | tuple[Message]
    rejected: str | tuple[Message]
    id: str = ""
    subset: str = ""
    tags: tuple[str, ...] = ()


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
        return _digest("\n".join(f"{m.role}: {m.content.strip()}" for m in self.prompt.messages).encode())


def read_labelled(path: Path, limit: int | None = None) -> tuple[list[LabelledPair], list[str]]:
    """(pairs, what is wrong with the rows that are none). Raises InputError when there is no pair at all."""
    pairs: dict[str, LabelledPair] = {}
    problems: list[str] = []
    for number, line in _lines(path):
        if limit is not None and len(pairs) == limit:
            break
        place = f"{path}:{number}"
        try:
            row = LabelledRow.model_validate_json(line)
        except ValidationError as error:
            problems.append(explain(error, place, LabelledRow))
            continue
        better, worse = (_message(reply) for reply in (row.chosen, row.rejected))
        if better == worse:
            problems.append(f"{place}: chosen and rejected are equal; allowed are two different replies")
            continue
        name = row.id if row.id and row.id not in pairs else f"{row.id or 'row'}-{number}"
        pairs[name] = made_pair(name, _conversation(row.prompt), better, worse, row.subset, row.tags)
    if not pairs:
        found = "\n".join(["", *problems[:20]])
        raise InputError(f"{path}: holds no labelled pair; each line needs prompt, chosen and rejected{found}")
    return list(pairs.values()), problems


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


def file_digest(path: Path) -> str:
    """Digest of a file's bytes."""
    return _digest(path.read_bytes())


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _conversation(prompt: str | tuple[Message, ...]) -> tuple[Message, ...]:
    return (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt


def _message(reply: str | tuple[Message]) -> Message:
    return Message(role="assistant", content=reply) if isinstance(reply, str) else reply[0]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error}); allowed is JSONL, plain or .gz") from None
