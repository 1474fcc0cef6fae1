"""Labelled pairs from anywhere: a conversation, the response that people chose and the one they rejected."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from typing import Any, NamedTuple

from constitution.errors import Problem, suggest
from constitution.records import Message
from generation.data import conversation as shapes
from generation.data.conversation import Messages
from generation.data.mapping import Columns, columns
from generation.data.message import Told
from generation.data.prompts import asked, fields_of, missing
from generation.data.record import BadRow, Record
from generation.data.source import source
from generation.data.values import picked

FIELDS = (
    "prompt", "messages", "conversations", "system", "chosen", "rejected", "id", "subset", "tags", "tools", "label_source",
)  # fmt: skip


_SIDES = ("chosen", "rejected")


class PairRow(NamedTuple):
    """A row that holds a labelled pair."""

    place: str
    """`file:row`."""
    id: str | None
    """As the row has it; None where it has none."""
    before: Messages
    """The conversation that both answer."""
    chosen: Message
    rejected: Message
    subset: str
    """Group of pairs; empty where the row names none."""
    tags: tuple[str, ...]
    tools: tuple[dict[str, Any], ...]
    metadata: str
    """The columns that rules read, as JSON."""


class PairReader:
    """Reads a source's pairs, and keeps what should be told of it."""

    def __init__(self, spec: str, given: Iterable[str] = (), rules: Collection[str] = ()) -> None:
        """rules: columns that rules of a constitution read."""
        self.spec = spec
        self._rules = frozenset(rules)
        self._columns: Columns = columns(FIELDS, given)
        self._records, self._notes = source(spec, self._columns.read).one()
        self._told = Told()
        self._seen = dict[str, None]()

    def rows(self) -> Generator[PairRow | Problem, None, None]:
        """Each row's pair, or what is wrong with it. Raises UserError where the source cannot be read, or has no such columns."""
        for record in self._records():
            try:
                yield self._row(record)
            except BadRow as error:
                yield error.at(record.place)
            except Exception as error:  # nobody knows what a row can hold; whatever it is, the others go on
                yield Problem(record.place, "", f"cannot be read ({type(error).__name__}: {str(error)[:200]})")
        if self._seen:
            self._columns.check(self.spec, self._seen, ())

    def notes(self) -> Iterator[str]:
        """What was left alone, once the rows are read."""
        others = sorted(self._seen.keys() - self._columns.read - self._rules)
        if others:
            yield f"{self.spec}: columns not read: {', '.join(others)}"
        yield from (f"{self.spec}: {note}" for note in self._notes)
        yield from (f"{self.spec}: {what} ({count:,} times)" for what, count in self._told.items())

    def _row(self, record: Record) -> PairRow:
        names = () if isinstance(record.row, BadRow) else record.row.keys()
        self._seen |= dict.fromkeys(names)
        fields, present, _ = fields_of(record, self._columns)
        for name in _SIDES:
            if name not in present:
                got = f"is missing{suggest(name, names)}"
                raise BadRow("bad_row", got, fix="each row needs prompt, chosen and rejected", key=name)
        if (by := fields.get("label_source")) not in (None, "", "human"):
            got = f"got {shapes.name(by)}: a judge's label, which says nothing about judges"
            raise BadRow("bad_row", got, "human, or no such column", "leave such rows out", key="label_source")
        before, replies = asked({"chosen": None, "rejected": None, **fields}, present, self._told)
        if len(replies) != len(_SIDES):
            raise BadRow("bad_row", "chosen and rejected are null", "two responses")
        for one in replies:
            if isinstance(one, BadRow):
                raise one
        chosen, rejected = (one for one in replies if isinstance(one, Message))
        if shapes.folded(chosen) == shapes.folded(rejected):
            raise BadRow("bad_row", "chosen and rejected are equal", "two different responses")
        if not before:
            raise missing(present)
        own = fields.get("id")
        return PairRow(
            record.place,
            None if own is None or own != own else shapes.name(own)[:200],
            before,
            chosen,
            rejected,
            shapes.name(fields.get("subset", "")),
            shapes.tags(fields.get("tags")),
            shapes.tools(fields.get("tools")),
            "" if isinstance(record.row, BadRow) else picked(record.row, self._rules, self._told),
        )
