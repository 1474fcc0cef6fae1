"""Which column holds which field: by the column's own name, or as `--map FIELD=COLUMN` says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from shlex import quote
from typing import Any

from constitution.errors import Problems, suggest

OPTION = "--map"
ALPACA = ("instruction", "input", "history", "output")
"""Columns of the Alpaca data set and those that are like it."""
LIKELY = ("question", "instruction", "query", "input", "text", "problem", "content")
"""Columns that are likely to hold the prompt, where none is named so."""


@dataclass(frozen=True)
class Columns:
    """The fields that a kind of row has, and the columns they are in."""

    fields: tuple[str, ...]
    mapped: Mapping[str, str]
    """Field -> its column, where it has another name."""
    option: str = OPTION
    """What says so."""

    @cached_property
    def _columns(self) -> dict[str, str]:
        return {name: self.mapped.get(name, name) for name in self.fields}

    @cached_property
    def read(self) -> set[str]:
        """Names of the columns that are read."""
        return {*self._columns.values()}

    def split(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """(field -> value, the other columns)."""
        fields = {name: row[column] for name, column in self._columns.items() if column in row}
        return fields, {name: value for name, value in row.items() if name not in self.read}

    def instructed(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row of Alpaca's form as one with a prompt and a completion; others as they are."""
        if not isinstance(row.get("instruction"), str) or self.mapped.keys() & {"prompt", "completion"}:
            return row
        if any(row.get(self.mapped.get(name, name)) is not None for name in ("prompt", "messages", "conversations")):
            return row
        history = row.get("history") or ()
        if not all(isinstance(turn, list | tuple) and len(turn) == 2 for turn in history):
            return row
        texts = (row.get(name) for name in ("instruction", "input"))
        asked = "\n".join(text for text in texts if isinstance(text, str) and text.strip())
        earlier = [
            {"role": role, "content": text}
            for turn in history
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        others = {name: value for name, value in row.items() if name not in ALPACA}
        made: dict[str, Any] = {"prompt": [*earlier, {"role": "user", "content": asked}] if earlier else asked}
        if isinstance(row.get("output"), str) and row.get("completion") is None:
            made["completion"] = row["output"]
        return {**others, **made}

    def check(self, place: str, seen: Collection[str], needed: Sequence[str]) -> None:
        """Raises UserError where a column that was named is not there, or no needed field is.

        seen: names of all columns of the rows.
        """
        problems = Problems()
        for name, column in self.mapped.items():
            if column not in seen:
                got = f"{place} has no column {column}{suggest(column, seen)}"
                problems.add(f"{self.option} {name}={column}", "", got, ", ".join(sorted(seen)))
        if seen and needed and not problems.found and self._lacks(seen, needed):
            hints = "".join(hint for name in sorted(seen) if (hint := suggest(name.strip().lower(), needed)))
            got = f"got columns {', '.join(sorted(seen))}{hints}"
            alike = [name for name in seen if name.strip().lower() == needed[0]]
            likely = next((name for name in (*alike, *LIKELY) if name in seen), "COLUMN")
            allowed = " or ".join(f"`{name}`" for name in needed)
            problems.add(
                place,
                "",
                got,
                allowed,
                f"rename one, or say which it is: {self.option} {quote(f'{needed[0]}={likely}')}",
            )
        problems.check()

    def _lacks(self, seen: Collection[str], needed: Iterable[str]) -> bool:
        return not any(self.mapped.get(name, name) in seen for name in needed)


def columns(fields: tuple[str, ...], given: Iterable[str] | Mapping[str, str] = (), option: str = OPTION) -> Columns:
    """The columns of a kind of row. given: `FIELD=COLUMN`, several divided by commas. option: what gives them. Raises UserError."""
    problems = Problems()
    mapped: dict[str, str] = {}
    pairs = given.items() if isinstance(given, Mapping) else map(_halves, _parts(given))
    for name, column in pairs:
        if name not in fields:
            got = f"got the field {name!r}{suggest(name, fields)}"
            problems.add(f"{option} {name}={column}", "", got, ", ".join(fields))
        elif not column:
            problems.add(f"{option} {name}", "", "names no column", f"FIELD=COLUMN, as in {fields[0]}=question")
        elif mapped.get(name, column) != column:
            problems.add(f"{option} {name}={column}", "", f"got {name}={mapped[name]} too", "one column a field")
        else:
            mapped[name] = column
    problems.check()
    return Columns(fields, mapped, option)


def as_options(given: Mapping[str, str]) -> tuple[str, ...]:
    """Field -> column, as `FIELD=COLUMN`."""
    return tuple(f"{name}={column}" for name, column in given.items())


def _parts(given: Iterable[str]) -> Iterable[str]:
    """`a=b,c=d` in its parts; a comma without a further `=` belongs to the column's name."""
    for text in given:
        parts: list[str] = []
        for part in text.split(","):
            if parts and "=" not in part:
                parts[-1] += f",{part}"
            else:
                parts.append(part)
        yield from parts


def _halves(part: str) -> tuple[str, str]:
    name, _, column = part.partition("=")
    return name.strip(), column
