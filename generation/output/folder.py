"""The run folder: whose it is, who is writing to it, and whether it can be written at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

SETTINGS = "run.yaml"
CONSTITUTION = "constitution.yaml"
PROMPTS = "prompts.jsonl"
"""Prompts that a program gave, not a file of its own."""
MACHINE = "machine"
"""Part of run.yaml that may change between restarts: engine, memory, concurrency."""
LOCK = ".lock"
BEFORE = {LOCK, CONSTITUTION, f"{CONSTITUTION}.tmp", PROMPTS, f"{PROMPTS}.tmp"}
"""What a run that was killed early may leave in its folder before `run.yaml`."""
MIN_FREE_BYTES = 200 << 20
"""A run is not started with less free disk than this."""


class RunFolderError(ValueError):
    """The run folder cannot be used; the message says why and what to do."""


def claim(folder: Path, settings: Mapping[str, object], constitution_text: str) -> None:
    """Make the folder this run's own: write `run.yaml` and `constitution.yaml`, or check that they say the same.

    Raises RunFolderError when the folder belongs to another constitution, other settings or somebody else.
    """
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    path = folder / SETTINGS
    if path.is_file():
        _check_same(folder, yaml.safe_load(path.read_text(encoding="utf-8")), dict(settings))
        return
    write_atomically(folder / CONSTITUTION, constitution_text)
    write_atomically(path, text)


@contextmanager
def locked(folder: Path, marker: str = SETTINGS) -> Iterator[None]:
    """Create the folder if need be and keep every other process out while inside. Raises RunFolderError.

    marker: the file by which a folder is known as one of ours.

    The lock is the kernel's and goes with the process, however it dies.
    """
    check_ours(folder, marker)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be written ({error.strerror}); choose another --out or change its permissions"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
            raise RunFolderError(f"{folder}: is in use by {holder}; wait for it, or choose another --out") from None
        free = shutil.disk_usage(folder).free
        if free < MIN_FREE_BYTES:
            raise RunFolderError(
                f"{folder}: {free >> 20:,} MiB free; allowed: at least {MIN_FREE_BYTES >> 20:,} MiB; free some space"
            )
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} since {started}".encode(), 0)
        yield
    finally:
        os.close(handle)


def check_ours(folder: Path, marker: str = SETTINGS) -> None:
    """Refuse a file, and a folder with something in it that nothing of ours began. Changes nothing."""
    if folder.is_dir():
        try:
            entries = {entry.name for entry in folder.iterdir()}
        except OSError as error:
            raise RunFolderError(f"{folder}: cannot be read ({error.strerror}); choose another --out") from None
        if marker not in entries and entries - BEFORE - {f"{marker}.tmp"}:
            raise RunFolderError(f"{folder}: is not empty and no run of ours (no {marker}); choose another --out")
    elif folder.exists():
        raise RunFolderError(f"{folder}: is a file; --out takes a folder")


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or nothing, durably."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_same(folder: Path, old: object, new: dict[str, object]) -> None:
    if not isinstance(old, dict):
        raise RunFolderError(f"{folder / SETTINGS}: is damaged; choose another --out with --reuse {folder}")
    changed = changes(old, new)
    if not changed:
        return
    lines = [f"  {line}" for line in changed.values()]
    what = "another constitution" if any(key.startswith("constitution") for key in changed) else "other settings"
    raise RunFolderError(
        "\n".join(
            [
                f"{folder}: belongs to {what}:",
                *lines,
                f"choose a new folder and take its cached calls: --out {folder}-2 --reuse {folder}",
            ]
        )
    )


def changes(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, str]:
    """Key -> what changed, in words, for settings that decide the result: all but those under `machine`."""
    before, after = (
        _flat({key: value for key, value in settings.items() if key != MACHINE}) for settings in (old, new)
    )
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return {key: f"{key}: was {before.get(key)!r}, now {after.get(key)!r}" for key in keys}


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
