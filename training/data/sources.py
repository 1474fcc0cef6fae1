"""Rows to train on, from wherever they are: a run folder, a datasets folder, JSONL, parquet, a hub id."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from constitution.errors import Problem, UserError, shown
from evaluation.files import json_lines
from generation.output import manifest, reading
from generation.output.dataset import SPLITS
from generation.output.folder import SETTINGS
from generation.output.reading import Target, TrainingPair

Kind = Literal["preferences", "sft"]
"""The two datasets of a run."""
Row = Mapping[str, Any] | TrainingPair | Target
"""Columns of any dataset, or a record of a run."""
JSONL = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz")


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
        return self.row.constitution_digest


def read(spec: str, kind: Kind, limit: int | None = None) -> Iterator[Raw]:
    """All rows, `limit` at most of each split. Raises UserError where there is nothing to read."""
    for rows in _parts(spec, kind):
        yield from itertools.islice(rows, limit)


def _parts(spec: str, kind: Kind) -> list[Iterator[Raw]]:
    """The rows of each split."""
    path = Path(spec).expanduser()
    name = path.name.lower()
    if path.is_dir():
        return _run(path, kind) if (path / SETTINGS).exists() or (path / manifest.NAME).exists() else _folder(path)
    if path.is_file() and name.endswith(JSONL):
        return [_jsonl(path)]
    if path.is_file() and name.endswith(".parquet"):
        return [_parquet(path, "")]
    allowed = "a run folder, a datasets folder, .jsonl (plain or .gz), .parquet, or a hub id such as owner/name"
    if path.exists():
        raise UserError(Problem(f"--data {spec}", got=f"got the ending {path.suffix or '(none)'!r}", allowed=allowed))
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1 or name.endswith((*JSONL, ".parquet")):
        raise UserError(Problem(f"--data {spec}", got="no such file or folder", allowed=allowed))
    return _hub(spec)


def _run(path: Path, kind: Kind) -> list[Iterator[Raw]]:
    manifest.whole(path, f"--data {path}")
    return [_of_run(file, split, kind) for split, file in reading.split_files(path, kind)]


def _of_run(file: Path, split: str, kind: Kind) -> Iterator[Raw]:
    if kind == "sft":
        return (Raw(f"{file}:{i}", split, row) for i, row in enumerate(reading.read_targets(file, split), 1))
    return (Raw(f"{file}:{i}", split, row) for i, row in enumerate(reading.read_training_pairs(file, split), 1))


def _parquet(file: Path, split: str) -> Iterator[Raw]:
    return (Raw(f"{file}:{i}", split, row) for i, row in enumerate(reading.rows(file), 1))


def _jsonl(path: Path) -> Iterator[Raw]:
    for number, line in json_lines(path):
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(Problem(place, got=f"is not JSON ({error})", fix="write one object a line")) from None
        if not isinstance(row, dict):
            raise UserError(Problem(place, got=f"got {shown(row)}", allowed="an object with named columns"))
        yield Raw(place, "", row)


def _folder(path: Path) -> list[Iterator[Raw]]:
    """A dataset saved with save_to_disk, or a folder of files that `datasets` can load."""
    from datasets import Dataset, load_dataset, load_from_disk

    try:
        saved = (path / "state.json").exists() or (path / "dataset_dict.json").exists()
        loaded = load_from_disk(str(path)) if saved else load_dataset(str(path))
    except Exception as error:  # its builders raise many kinds, all of which mean the same to the user
        raise UserError(
            Problem(
                f"--data {path}",
                got=f"is no run folder and cannot be loaded as a dataset ({_short(error)})",
                fix="give a run folder, a file, or a folder that datasets.load_dataset takes",
            )
        ) from None
    return _splits(str(path), {"": loaded} if isinstance(loaded, Dataset) else dict(loaded))


def _hub(spec: str) -> list[Iterator[Raw]]:
    from datasets import load_dataset

    try:
        loaded = load_dataset(spec)
    except Exception as error:  # as above
        raise UserError(
            Problem(
                f"--data {spec}",
                got=f"is no file here and cannot be loaded from the hub ({_short(error)})",
                fix="check the name and the network",
            )
        ) from None
    return _splits(spec, dict(loaded))


def _splits(name: str, splits: Mapping[str, Any]) -> list[Iterator[Raw]]:
    """`train` and `test` where there are both; else what there is of them, or all splits, as one to be split here."""
    known = {split: data for split, data in splits.items() if split in SPLITS}
    if len(known) == len(SPLITS):
        return [_numbered(f"{name}/{split}", split, data) for split, data in known.items()]
    return [_numbered(f"{name}/{split or 'rows'}", "", data) for split, data in (known or splits).items()]


def _numbered(name: str, split: str, data: Any) -> Iterator[Raw]:
    return (Raw(f"{name}:{i}", split, row) for i, row in enumerate(data, 1))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
