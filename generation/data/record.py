"""What the readers of files give: rows as they stand in the file, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from constitution.errors import Problem, UserError

T = TypeVar("T")
MAX_CELL = 1 << 20
"""Most characters of what is read of one row."""
MAX_ITEMS = 1000
"""Most messages, responses, tools, calls of tools or tags of one row."""
MAX_ROW = 8 << 20
"""Most bytes of one row in its file, with the columns that are not read."""
MAX_SKIPPED = 1 << 30
"""Bytes of rows that are too large after which a file is no data file."""
CLIP = 200
"""Most characters of another program's words in a reason."""


class BadRow(Exception):
    """Why a row, or a part of it, is none: a reason in one word, and the parts of a Problem."""

    def __init__(self, reason: str, got: str, allowed: str = "", fix: str = "", key: str = "") -> None:
        super().__init__(reason, got, allowed, fix, key)
        self.reason = reason
        self._problem = Problem("", key, got, allowed, fix)

    def at(self, place: str) -> Problem:
        """What is wrong, and where."""
        return self._problem._replace(place=place)

    def named(self, reason: str) -> BadRow:
        """The same under another reason."""
        _, key, got, allowed, fix = self._problem
        return BadRow(reason, got, allowed, fix, key)

    def under(self, key: str) -> BadRow:
        """The same of a value that stands under this key."""
        found = self._problem.under(key)
        return BadRow(self.reason, found.got, found.allowed, found.fix, found.key)


def bounded(items: Sequence[T], what: str) -> Sequence[T]:
    """The same. Raises BadRow where there are more than MAX_ITEMS."""
    if len(items) > MAX_ITEMS:
        raise BadRow(
            "cell_too_large", f"has {len(items):,} {what}", f"{MAX_ITEMS:,} a row", "shorten it or leave it out"
        )
    return items


class Record(NamedTuple):
    """One row of a source."""

    place: str
    """`file:row`: the line of a text file, the row's number from 1 elsewhere."""
    row: Mapping[str, Any] | BadRow
    columnar: bool = False
    """From a table of typed columns, which has nulls where a key is in another row alone."""


Records = Callable[[], Iterator[Record]]
"""Reads the rows, anew at each call."""


def words(error: BaseException) -> str:
    """What another program's error says, on one line and not too long."""
    return " ".join(str(error).split())[:CLIP] or type(error).__name__


@contextmanager
def reading(path: str) -> Iterator[None]:
    """What goes wrong inside with the file as a whole is told as its problem. Raises UserError."""
    try:
        yield
    except (OSError, EOFError, pa.ArrowException, ValueError) as error:
        if isinstance(error, UserError):
            raise
        got = f"cannot be read ({words(error)})"
        raise UserError(Problem(path, "", got, "", "check its permissions and that it is whole")) from None
