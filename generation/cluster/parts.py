"""What the storage of a run has of its shards: those that are done, with a marker that is written last, and the calls of others."""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from constitution.errors import SolonError
from constitution.records import Strict
from generation.calls.database import copy
from generation.cluster.order import CHECKPOINTS
from generation.cluster.storage import Storage
from generation.cluster.suspects import suspects_of
from generation.output.files import file_sha256
from generation.output.manifest import NAME as MANIFEST
from generation.pipeline.session import CALLS
from generation.shard import Shard

DONE = "done"
"""Folder of the markers."""


class Part(Strict):
    """A marker: a shard that is done. A folder that no marker names is of a start that was lost."""

    folder: str
    """Its name in the storage."""
    files: dict[str, str]
    """Name -> sha256."""

    def damaged(self, folder: Path) -> bool:
        """Whether a copy of it, or it itself, lacks a file or has another."""
        try:
            return any(file_sha256(folder / name) != known for name, known in self.files.items())
        except OSError:
            return True


def read_part(storage: Storage, shard: Shard) -> Part | None:
    """A shard's marker; None where it is not done, or the marker is damaged. Raises StorageError."""
    text = storage.read(f"{DONE}/{shard.name}.json")
    try:
        return Part.model_validate_json(text) if text else None
    except ValidationError:
        return None


def hand_over(storage: Storage, shard: Shard, folder: Path) -> None:
    """Copy a finished shard to the storage, unless another start of it did so before. Raises StorageError, StoreError, OSError."""
    if read_part(storage, shard):
        return
    name = f"{shard.name}.{uuid.uuid4().hex[:12]}"
    calls = _beside(folder)
    files: dict[str, str] = {}
    try:
        copy(folder / CALLS, calls)
        storage.put(calls, f"{name}/{CALLS}")
        files[CALLS] = file_sha256(calls)
    finally:
        calls.unlink(missing_ok=True)
    found = (path for path in folder.rglob("*") if path.is_file() and not _own(path.relative_to(folder)))
    for path in sorted(found, key=lambda path: path.name == MANIFEST):
        one = path.relative_to(folder).as_posix()
        storage.put(path, f"{name}/{one}")
        files[one] = file_sha256(path)
    if read_part(storage, shard):  # another start was faster
        storage.remove(name)
        return
    storage.write(f"{DONE}/{shard.name}.json", Part(folder=name, files=files).model_dump_json(indent=1) + "\n", folder)
    with suppress(SolonError):  # it is of no use any more
        storage.remove(_checkpoint(shard, "sqlite"))
        storage.remove(_checkpoint(shard, "json"))


def _own(path: Path) -> bool:
    """Whether a file is the process's: locks, and the calls with what stands beside them."""
    return path.parts[0].startswith(".") or path.name.startswith(CALLS) or path.name.endswith(".tmp")


def keep_calls(storage: Storage, shard: Shard, folder: Path) -> None:
    """Copy an unfinished shard's calls to the storage. Raises StorageError, StoreError, OSError."""
    calls = _beside(folder)
    if not (folder / CALLS).is_file():
        return
    try:
        made = copy(folder / CALLS, calls)
        if made > _kept(storage, shard):
            storage.put(calls, _checkpoint(shard, "sqlite"))
            storage.write(_checkpoint(shard, "json"), json.dumps({"calls": made}), folder)
    finally:
        calls.unlink(missing_ok=True)


def reopen(storage: Storage, shard: Shard, part: Part, scratch: Path) -> None:
    """Take a shard that is done for an unfinished one, with all its calls. Raises StorageError, StoreError, OSError."""
    folder = scratch / f"{shard.name}.again"
    try:
        storage.get(f"{part.folder}/{CALLS}", folder / CALLS)
        keep_calls(storage, shard, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    storage.remove(suspects_of(shard))
    storage.remove(f"{DONE}/{shard.name}.json")


def fetch_calls(storage: Storage, shard: Shard, folder: Path) -> None:
    """Take the calls that the storage has of a shard, where this machine has fewer. Raises StorageError, StoreError, OSError."""
    calls, spare = folder / CALLS, _beside(folder)
    kept = _kept(storage, shard)
    try:
        if not kept or (calls.is_file() and copy(calls, spare) >= kept):
            return
    finally:
        spare.unlink(missing_ok=True)
    for ending in ("-wal", "-shm"):
        (folder / f"{CALLS}{ending}").unlink(missing_ok=True)
    storage.get(_checkpoint(shard, "sqlite"), calls)


def _beside(folder: Path) -> Path:
    """A new name for a copy of the calls."""
    return folder / f".calls-{uuid.uuid4().hex[:12]}.sqlite"


def _kept(storage: Storage, shard: Shard) -> int:
    """How many calls the storage has of a shard."""
    try:
        return int(json.loads(storage.read(_checkpoint(shard, "json")) or "{}").get("calls", 0))
    except (ValueError, AttributeError, TypeError):
        return 0


def _checkpoint(shard: Shard, ending: str) -> str:
    return f"{CHECKPOINTS}/{shard.name}.{ending}"
