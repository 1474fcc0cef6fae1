"""Rows to train on, from wherever they are: a run folder, or whatever prompts may be read from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from constitution.errors import UserError
from generation.data.conversation import unpadded
from generation.data.mapping import Columns, columns
from generation.data.record import BadRow, Record
from generation.data.source import source
from generation.output import manifest, reading
from generation.output.dataset import SPLITS
from generation.output.folder import SETTINGS
from generation.output.reading import Target, TrainingPair

Kind = Literal["preferences", "sft"]
"""The two datasets of a run."""
Row = Mapping[str, Any] | TrainingPair | Target | BadRow
"""Columns of any dataset, a record of a run, or why a row is neither."""
FIELDS = (
    "prompt", "messages", "conversations", "system", "chosen", "rejected", "completion", "tools", "tags", "id", "prompt_id",
    "chat_template_kwargs", "p_chosen", "margin", "weight", "chosen_truncated", "rejected_truncated", "completion_truncated",
    "constitution_digest", "label", "responses", "ranks", "completions", "labels",
)  # fmt: skip
"""Columns that are read."""


class Raw(NamedTuple):
    """A row as its file has it, and where it stands."""

    place: str
    """`file:row`."""
    split: str
    """`train`, `test`, or empty where the source has no splits."""
    row: Row

    @property
    def constitution(self) -> str:
        """Digest of the constitution that labelled it; empty where the row does not say."""
        if isinstance(self.row, Mapping):
            return str(self.row.get("constitution_digest") or "")
        return "" if isinstance(self.row, BadRow) else self.row.constitution_digest


def read(
    spec: str,
    kind: Kind,
    limit: int | None = None,
    given: Mapping[str, str] = MappingProxyType({}),
    seen: dict[str, None] | None = None,
) -> Iterator[Raw]:
    """All rows, `limit` at most of each split. given: field -> its column. seen: names of columns, which are added to.

    Raises UserError where there is nothing to read.
    """
    fields = columns(FIELDS, given)
    seen = dict[str, None]() if seen is None else seen
    for rows in _parts(spec, kind, fields, seen):
        yield from itertools.islice(rows, limit)
    if seen:
        fields.check(f"--data {spec}", seen, ())


def is_run(path: Path) -> bool:
    """True for the folder of one of our runs, or of several, which is refused where it is read."""
    ours = (path / SETTINGS).exists() or (path / manifest.NAME).exists() or manifest.shards_in(path)
    return path.is_dir() and bool(ours)


def _parts(spec: str, kind: Kind, fields: Columns, seen: dict[str, None]) -> list[Iterator[Raw]]:
    """The rows of each split. seen: names of the columns, which are added to."""
    path = Path(spec).expanduser()
    if is_run(path):
        return _run(path, kind)
    with placed(f"--data {spec}"):
        found = source(spec, fields.read)
    known = {split: records for split, records in found.splits.items() if split in SPLITS}
    if len(known) == len(SPLITS):
        return [_rows(records(), split, fields, seen) for split, records in known.items()]
    return [_rows(records(), "", fields, seen) for records in (known or found.splits).values()]


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Problems of what an option names, told at the option. Raises UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(problem._replace(place=place) for problem in error.problems) from None


def _rows(records: Iterator[Record], split: str, fields: Columns, seen: dict[str, None]) -> Iterator[Raw]:
    for record in records:
        row = record.row
        if not isinstance(row, BadRow):
            row = fields.instructed(row)
            seen |= dict.fromkeys(row)
            own, others = fields.split(row)
            row = {**others, **({key: unpadded(value) for key, value in own.items()} if record.columnar else own)}
        yield Raw(record.place, split, row)


def _run(path: Path, kind: Kind) -> list[Iterator[Raw]]:
    manifest.whole(path, f"--data {path}")
    return [_of_run(file, split, kind) for split, file in reading.split_files(path, kind)]


def _of_run(file: Path, split: str, kind: Kind) -> Iterator[Raw]:
    if kind == "sft":
        return (Raw(f"{file}:{i}", split, row) for i, row in enumerate(reading.read_targets(file, split), 1))
    return (Raw(f"{file}:{i}", split, row) for i, row in enumerate(reading.read_training_pairs(file, split), 1))
