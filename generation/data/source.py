"""What a user names as data -> the splits that are there: a file, a folder, an address of fsspec, a hub id."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from constitution.digest import file_digest, hasher
from constitution.errors import Problem, UserError, suggest
from generation.data.delimited import delimited
from generation.data.json_rows import json_rows
from generation.data.record import Record, Records, words
from generation.data.storage import ALLOWED, TABLES, TEXT, File, file_at, is_address, kind_of, remote_files
from generation.data.tables import BATCH, arrow, parquet, rows

TRAIN = "train"
RUN = ("run.yaml", "manifest.json")
"""Files by which a folder is known for a run's."""
_SPLIT = re.compile(r"(.*)@([\w.-]+)", re.DOTALL)
_NAMED = re.compile(
    r"(?:(\w+)-\d{5}-of-\d{5}|((?:train|test|validation|valid|dev|eval)(?:_[a-z]+)?)(?![a-z]))", re.IGNORECASE
)
"""Names of files and folders that say which split they are."""
_HUB = re.compile(r"[\w.-]+/[\w.-]+(:[^@/]+)?(@[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """Data that can be read."""

    name: str
    """As it was named."""
    splits: Mapping[str, Records]
    """Name of each split -> its rows; the empty name where there are no splits."""
    notes: tuple[str, ...] = field(default=())
    """What a user should be told of what is not read."""

    def one(self) -> tuple[Records, tuple[str, ...]]:
        """(rows of the only split, or of `train`; what to tell). Raises UserError where nobody says which to read."""
        if len(self.splits) == 1:
            return next(iter(self.splits.values())), self.notes
        names = ", ".join(self.splits)
        if TRAIN not in self.splits:
            got = f"has the splits {names}"
            raise UserError(
                Problem(self.name, "", got, "one split", f"name it, as in {self.name}@{next(iter(self.splits))}")
            )
        other = next(name for name in self.splits if name != TRAIN)
        note = f"the split {TRAIN} is read, of {names}; to read another, name it as in {self.name}@{other}"
        return self.splits[TRAIN], (*self.notes, note)


def source(spec: str, wanted: Collection[str] = ()) -> Source:
    """The splits of what is named: `PATH`, `ADDRESS`, `owner/name` or `owner/name:config`, each with `@split`.

    wanted: columns whose cells may not be left out where they are too large. Raises UserError.
    """
    if is_address(spec):
        files, folder = remote_files(spec)
        return _folder(spec, files, wanted) if folder else _file(spec, files[0], wanted)
    path = Path(spec).expanduser()
    if not path.exists():
        outer = _SPLIT.fullmatch(spec)
        if outer and Path(outer[1]).expanduser().is_dir():
            return _only(source(outer[1], wanted), outer[2], spec)
        if _HUB.fullmatch(spec) and kind_of(spec) is None and not spec.startswith("."):
            return _hub(spec)
        raise UserError(Problem(spec, "", f"no such file or folder{_near(path)}", ALLOWED))
    if path.is_dir():
        return _local_folder(path, spec, wanted)
    if not path.is_file():
        raise UserError(Problem(spec, "", "is no ordinary file", ALLOWED))
    return _file(spec, file_at(path), wanted)


def source_digest(spec: str) -> str:
    """Hex digest of what is named: of a file's bytes, else of the rows that are read. Raises UserError."""
    path = Path(spec).expanduser()
    if path.is_file():
        return file_digest(path)
    h = hasher()
    for record in source(spec).one()[0]():
        h.update(repr(record.row).encode("utf-8", "surrogatepass"))
    return h.hexdigest()


def file_records(file: File, wanted: Collection[str] = ()) -> Iterator[Record]:
    """Rows of one file. Raises UserError."""
    match file.kind.format:
        case "parquet":
            return parquet(file.open(), file.name, wanted)
        case "arrow":
            return arrow(file.open(), file.name, wanted)
        case "csv" | "tsv" as format:
            return delimited(file.open(), file.name, "," if format == "csv" else "\t")
        case _:
            return json_rows(file.open(), file.name)


def _file(spec: str, file: File, wanted: Collection[str]) -> Source:
    file.open().close()
    return Source(spec, {"": partial(file_records, file, wanted)})


def _near(path: Path) -> str:
    """A file there whose name is like this one's, but for its ending."""
    try:
        names = {one.stem: one.name for one in itertools.islice(path.parent.iterdir(), 1000)}
    except OSError:
        return ""
    return suggest(path.stem, names)


def _local_folder(path: Path, spec: str, wanted: Collection[str]) -> Source:
    if all((path / name).exists() for name in RUN):
        inside = path / "data" / "preferences" / "train.parquet"
        raise UserError(Problem(spec, "", "is the folder of a run", "", f"name one of its files, as in {inside}"))
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return _saved(path, spec, wanted)
    inner = (
        file for file in sorted(path.rglob("*")) if not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    files = [File(str(file), kind, str(file)) for file in inner if (kind := kind_of(file.name)) and file.is_file()]
    return _folder(str(path), files, wanted)


def _folder(spec: str, files: Sequence[File], wanted: Collection[str]) -> Source:
    """The splits of a folder, by the names of its files; the others are left alone where some name a split."""
    if not files:
        endings = ", ".join((*TEXT, *TABLES))
        got = f"is no dataset (no {endings} file in it)"
        raise UserError(Problem(spec, "", got, "", "give a file, or save_to_disk a dataset there"))
    splits = defaultdict[str, list[File]](list)
    for file in files:
        splits[_split_of(file.name.removeprefix(spec))].append(file)
    rest = splits.pop("", []) if len(splits) > 1 else []
    notes = (f"not read, as their names are of no split: {', '.join(file.name for file in rest[:5])}",) if rest else ()
    for inside in splits.values():
        kinds = sorted({file.kind.format for file in inside})
        if len(kinds) > 1:
            got = f"holds files of several kinds: {', '.join(file.name for file in inside[:5])}"
            raise UserError(Problem(spec, "", got, "files of one kind", "name one of them, or move the others"))
    names = sorted(splits, key=lambda name: (name != TRAIN, name))
    return Source(spec, {name: partial(_chained, splits[name], wanted) for name in names}, notes)


def _split_of(name: str) -> str:
    """The split that a file's name, or that of a folder around it, says; empty where none does."""
    found = next((found for part in reversed(Path(name).parts) if (found := _NAMED.match(part))), None)
    return (found[1] or found[2]).lower() if found else ""


def _chained(files: Sequence[File], wanted: Collection[str]) -> Iterator[Record]:
    return itertools.chain.from_iterable(file_records(file, wanted) for file in files)


def _only(found: Source, split: str, spec: str) -> Source:
    """One of the splits. Raises UserError."""
    if split not in found.splits:
        names = ", ".join(filter(None, found.splits)) or "none: leave @split out"
        got = f"has no split {split}{suggest(split, found.splits)}"
        raise UserError(Problem(spec, "", got, names))
    return Source(spec, {split: found.splits[split]}, found.notes)


def _saved(path: Path, spec: str, wanted: Collection[str]) -> Source:
    from datasets import Dataset, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except Exception as error:  # whatever a damaged folder makes it raise
        got = f"cannot be loaded as a saved dataset ({words(error)})"
        raise UserError(Problem(spec, "", got, "", "write it with save_to_disk")) from None
    splits = {"": loaded} if isinstance(loaded, Dataset) else dict(loaded)
    names = {split: f"{path}/{split}" if split else str(path) for split in splits}
    return Source(spec, {split: partial(_of_dataset, splits[split], names[split], wanted) for split in splits})


def _of_dataset(dataset: Any, name: str, wanted: Collection[str]) -> Iterator[Record]:
    number = 1
    for table in dataset.with_format("arrow").iter(batch_size=BATCH):
        for batch in table.to_batches():
            yield from rows(batch, name, number, wanted)
            number += batch.num_rows


def _hub(spec: str) -> Source:
    """A dataset of the hub, as `owner/name`, `owner/name:config`, each with `@split`."""
    from datasets import load_dataset

    rest, _, split = spec.partition("@")
    name, _, config = rest.partition(":")
    try:
        loaded = load_dataset(name, config or None, streaming=True)
        splits = dict(loaded)
    except Exception as error:  # the hub's client raises many kinds, all of which mean the same to the user
        got = f"is no file here and cannot be had from the hub ({words(error)})"
        fix = "check name and network; a config and a split are named as in owner/name:config@split"
        raise UserError(Problem(spec, "", got, "", fix)) from None
    found = Source(spec, {part: partial(_of_hub, stream, f"{rest}@{part}") for part, stream in splits.items()})
    return _only(found, split, spec) if split else found


def _of_hub(stream: Any, name: str) -> Iterator[Record]:
    try:
        for number, row in enumerate(stream.decode(False), 1):
            yield Record(f"{name}:{number}", row, True)
    except Exception as error:  # as above
        raise UserError(Problem(name, "", f"cannot be read ({words(error)})", "", "check the network")) from None
