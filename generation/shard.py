"""One of several parts of a run's prompts, each of which is a run of its own."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from constitution.digest import integer
from constitution.errors import Problem, UserError, invalid
from constitution.records import Failure, Prompt

_BAD_ROWS = (OSError, EOFError, ValueError, TypeError, LookupError)


class Shard(NamedTuple):
    """`number/parts`, from 0/8 to 7/8. A prompt's id alone says which it is in."""

    number: int
    parts: int

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"

    @property
    def name(self) -> str:
        """As folders are called."""
        return f"part-{self.number:05}-of-{self.parts:05}"

    def of(self, rows: Iterable[Prompt | Failure]) -> Iterator[Prompt | Failure]:
        """Those that are in it, in their order."""
        for row in rows:
            if number_of(row, self.parts) == self.number:
                yield row


def number_of(row: Prompt | Failure, parts: int) -> int:
    """Number of the shard, of so many, that a row is in."""
    return integer(row.id if isinstance(row, Prompt) else row.prompt_id, 8) % parts


def shards(parts: int) -> list[Shard]:
    """All of them."""
    return [Shard(number, parts) for number in range(parts)]


def divide(rows: Iterable[Prompt | Failure], files: Sequence[Path]) -> list[int]:
    """Write each row to the file of its shard, in one pass and in the rows' order; returns how many prompts each has.

    What `read_rows` reads is equal to what was given here.
    """
    counts = [0] * len(files)
    with ExitStack() as stack:
        opened = [stack.enter_context(gzip.open(path, "wt", compresslevel=1, encoding="ascii")) for path in files]
        for row in rows:
            number = number_of(row, len(files))
            kind, body = ("prompt", row.model_dump()) if isinstance(row, Prompt) else ("failure", asdict(row))
            opened[number].write(json.dumps({kind: body}) + "\n")  # ASCII: half a character is kept as it is
            counts[number] += not (isinstance(row, Failure) and row.subject)
    return counts


def read_rows(path: Path) -> Iterator[Prompt | Failure]:
    """The rows of a file that `divide` wrote. Raises UserError for one that is damaged."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            for line in file:
                ((kind, body),) = json.loads(line).items()
                yield Prompt.model_validate(body) if kind == "prompt" else Failure(**body)
    except _BAD_ROWS as error:
        got = f"cannot be read ({' '.join(str(error).split())[:200]})"
        raise UserError(Problem(str(path), got=got, fix="remove it; the same command writes it anew")) from None


def _parsed(given: Any) -> Any:
    if isinstance(given, Shard):
        return given
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(given))
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if shard.number >= shard.parts:
        raise invalid(f"got {str(given)[:40]!r}", "I/N with I from 0 to N - 1, as 0/8 to 7/8")
    return shard


ShardOption = Annotated[Shard, BeforeValidator(_parsed)]
"""A Shard as text or as itself."""
