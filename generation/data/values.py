"""What may stand in a record: text that files can hold, names that are each given once, and other columns as JSON."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from generation.data.message import Told
from generation.data.record import MAX_CELL, BadRow

MAX_METADATA = 1 << 16
"""Most characters of a row's other columns."""


def metadata(others: Mapping[str, Any], told: Told) -> str:
    """The columns that are not read, as JSON; empty where there are none. Those that are too large are left out."""
    kept = {key: jsonable(value) for key, value in others.items() if value is not None}
    if not kept:
        return ""
    text = json.dumps(kept, ensure_ascii=False)
    while len(text) > MAX_METADATA:
        largest = max(kept, key=lambda key: len(json.dumps(kept[key], ensure_ascii=False)))
        del kept[largest]
        told[f"column {largest} is too large to be kept as metadata"] += 1
        text = json.dumps(kept, ensure_ascii=False) if kept else ""
    return text


def picked(row: Mapping[str, Any], names: Collection[str], told: Told) -> str:
    """Those columns of a row as JSON; what it has not is taken from its own column `metadata`, as rows of a run have it."""
    if not names:
        return ""
    whole = unfolded(row)
    return metadata({name: whole[name] for name in names if whole.get(name) is not None}, told)


def unfolded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of a row, those among them that its own column `metadata` holds, as rows of a run have it."""
    inner: object = row.get("metadata")
    if isinstance(inner, str):
        try:
            inner = json.loads(inner)
        except (ValueError, RecursionError):
            return row  # a column of that name which is none of ours
    if not isinstance(inner, Mapping):
        return row
    return {**inner, **{name: value for name, value in row.items() if name != "metadata"}}


def jsonable(value: Any) -> Any:
    """A value in JSON's own types: what it has not becomes text, and what is no number null."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {clean(str(key)): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    return f"{len(value):,} bytes" if isinstance(value, bytes) else clean(str(value))


def clean(text: str) -> str:
    """Without what files and databases cannot hold."""
    return text if text.isascii() and "\0" not in text else text.replace("\0", "�").encode("utf-8", "replace").decode()


def check_text(fields: Mapping[str, Any]) -> None:
    """Refuse what crashes tokenizers, databases or terminals. Raises BadRow."""
    total = _checked(fields)
    if total > MAX_CELL:
        raise BadRow("cell_too_large", f"has {total:,} characters", f"{MAX_CELL:,} a row", "shorten it or leave it out")


def _checked(value: object) -> int:
    """Characters of all texts in a value. Raises BadRow for one that has what no text may have."""
    if isinstance(value, str):
        if "\0" in value:
            raise BadRow("nul_byte", "has a NUL character", "", "remove it")
        if not value.isascii():
            _check_encodes(value)
        return len(value)
    if isinstance(value, dict):
        return sum(_checked(str(key)) + _checked(inner) for key, inner in value.items())
    return sum(map(_checked, value)) if isinstance(value, list | tuple) else 0


def _check_encodes(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = text[error.start]
        if "\udc80" <= found <= "\udcff":
            raise BadRow("not_utf8", "is not UTF-8", "", "save the file as UTF-8") from None
        raise BadRow("lone_surrogate", f"has a lone surrogate {found!r}; it is no character") from None


class Names:
    """Makes names unique. SQLite holds those that were given, in a temporary file once they are many. For one thread at a time."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("CREATE TABLE names (name TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def unique(self, name: str) -> str:
        """The name, with -2, -3, ... when it comes again."""
        upsert = "INSERT INTO names VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
        ((times,),) = self._db.execute(upsert, (name,)).fetchall()
        return name if times == 1 else self.unique(f"{name}-{times}")

    def close(self) -> None:
        """Forget them; the temporary file goes."""
        self._db.close()
