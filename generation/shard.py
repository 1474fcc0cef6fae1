"""One of several parts of a run's prompts, each of which is a run of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from constitution.digest import integer
from constitution.errors import invalid
from constitution.records import Failure, Prompt


class Shard(NamedTuple):
    """`number/parts`, from 0/8 to 7/8. A prompt's id alone says which it is in."""

    number: int
    parts: int

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"

    def of(self, rows: Iterable[Prompt | Failure]) -> Iterator[Prompt | Failure]:
        """Those that are in it, in their order."""
        for row in rows:
            if integer(row.id if isinstance(row, Prompt) else row.prompt_id, 8) % self.parts == self.number:
                yield row


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
