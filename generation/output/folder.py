"""A folder that belongs to one run: whose it is, who is writing to it, and whether it can be written at all."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from constitution.errors import Problem, UserError
from constitution.source.reading import parse
from generation.output.files import contents, read_sealed, refuse_links, write_atomically, write_sealed

_QUICK: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml's writer where PyYAML was built with it, ten times as fast."""
SETTINGS = "run.yaml"
TRAINING = "training.yaml"
CONSTITUTION = "constitution.yaml"
WEIGHTS = "weights.json"
"""A run's own copy of the fitted weights it was given."""
ACCEPTANCE = "acceptance.json"
"""A run's own copy of what it was told to accept."""
LABELS = "review.jsonl"
"""What people said of a run's pairs (generation/data/labels.py)."""
PROMPTS = "prompts.jsonl"
"""Prompts that a program gave, not a file of its own."""
DATE = "date.txt"
"""The day that chat templates take for today, in the folder of an evaluation and of what else has no settings that say it."""
MACHINE = "machine"
"""Part of a settings file that may change between restarts: engine, memory, concurrency."""
LOCK = ".lock"
HOLDER = ".lock-holder"
"""Which process holds the lock, in words."""
INSPECTED = ".prompts.yaml"
"""What one pass over the prompts found (generation/output/settled.py)."""
BEFORE = {LOCK, *(part for name in (HOLDER, CONSTITUTION, PROMPTS, DATE, INSPECTED) for part in (name, f"{name}.tmp"))}
"""What a run that was killed early may leave in its folder before its settings."""
OURS = {"calls.sqlite", "manifest.json"}
"""Files that show a folder as a run's, even without its settings."""
MIN_FREE_BYTES = 200 << 20
"""A run is not started with less free disk than this."""


class InUse(UserError):
    """Another process holds the folder."""


Snapshot = Mapping[str, Any]
"""Settings as the folder's file has them."""


@dataclass(frozen=True, slots=True)
class OwnedFolder:
    """A folder that is known as ours by a file in it, which says what it was made from."""

    path: Path
    marker: str = SETTINGS
    """Name of that file: `run.yaml`, `training.yaml`, `loop.yaml`, or the calls of an evaluation."""
    released: str = ""
    """Text of the file where a folder may be taken by other settings. Empty: none may."""
    fix: str = "choose another --out, or delete the folder"
    """What to do where it belongs to other settings."""

    def check(self) -> None:
        """Raises UserError for a file, and for a folder with something in it that nothing of ours began. Changes nothing."""
        if self.path.is_dir():
            try:
                entries = {entry.name for entry in self.path.iterdir()}
            except OSError as error:
                raise self._refused(f"cannot be read ({error.strerror})", "choose another --out") from None
            if self.marker not in entries and entries - BEFORE - {f"{self.marker}.tmp"}:
                fix = self.fix if OURS & entries else "choose another --out"
                raise self._refused(f"is not empty and no run of ours (no {self.marker})", fix)
        elif self.path.exists():
            raise self._refused("is a file", "--out takes a folder")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder if need be and keep every other process out while inside. Raises UserError.

        The lock is the kernel's and goes with the process, however it dies.
        """
        self.check()
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_links(self.path)
            lock.acquire()
        except Timeout:
            problems = self._refused(f"is in use by {self._holder()}", "wait for it, or choose another --out").problems
            raise InUse(problems) from None
        except OSError as error:
            fix = "choose another --out or change its permissions"
            raise self._refused(f"cannot be written ({error.strerror})", fix) from None
        try:
            free = shutil.disk_usage(self.path).free
            if free < MIN_FREE_BYTES:
                allowed = f"at least {MIN_FREE_BYTES >> 20:,} MiB"
                raise UserError(Problem(str(self.path), "", f"{free >> 20:,} MiB free", allowed, "free some space"))
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            write_atomically(self.path / HOLDER, f"process {os.getpid()} since {started}")
            yield
        finally:
            lock.release()

    def snapshot(self) -> Snapshot | None:
        """What the folder's file says; None where the folder is free. Raises UserError where the file is damaged."""
        try:
            if self.released and contents(self.path / self.marker).decode() == self.released:
                return None
            found = parse(read_sealed(self.path / self.marker))
        except FileNotFoundError:
            return None
        except (OSError, yaml.YAMLError, ValueError):
            found = None
        if not isinstance(found, dict):
            got = "is damaged, or was changed by hand"
            raise UserError(Problem(str(self.path / self.marker), got=got, fix=self.fix))
        return found

    def claim(self, settings: Snapshot, decisive: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot) -> None:
        """Make the folder this run's own: write the settings, or check that those it was made from are the same.

        decisive: the part of them that must not change; what is under MACHINE always may. Raises UserError with every setting
        that differs.
        """
        old = self.snapshot()
        if old is not None and (changed := changes(decisive(old), decisive(settings))):
            raise UserError([Problem(str(self.path), got="belongs to other settings", fix=self.fix), *changed])
        text = yaml.dump(dict(settings), Dumper=_QUICK, sort_keys=False, allow_unicode=True)
        write_sealed(self.path / self.marker, text)

    def release(self) -> None:
        """Let other settings take the folder. Call it while nothing is made that depends on them."""
        write_atomically(self.path / self.marker, self.released)

    def _holder(self) -> str:
        try:
            return contents(self.path / HOLDER).decode() or "another process"
        except (OSError, ValueError):
            return "another process"

    def _refused(self, got: str, fix: str) -> UserError:
        return UserError(Problem(str(self.path), got=got, fix=fix))


def day_of(*folders: Path) -> datetime.date:
    """What chat templates take for today: the day that the first folder keeps which keeps any, so that a template which prints it
    asks the same at each start; else today.
    """
    for folder in folders:
        try:
            return datetime.date.fromisoformat(contents(folder / DATE).decode().strip())
        except (OSError, ValueError):
            pass
        for marker in (SETTINGS, TRAINING):
            try:
                return datetime.date.fromisoformat(str((OwnedFolder(folder, marker).snapshot() or {}).get("date", "")))
            except (OSError, UserError, ValueError):
                continue  # it is no run's, or is refused where it is used
    return datetime.date.today()


def keep_day(folder: Path, day: datetime.date) -> None:
    """Write it down for later starts."""
    if not (folder / DATE).exists():
        write_atomically(folder / DATE, f"{day.isoformat()}\n")


def run_folder(path: Path) -> OwnedFolder:
    """The folder of a run of `generate_feedback.py`."""
    return OwnedFolder(path, fix=f"choose a new folder and take its cached calls: --out {path}-2 --reuse {path}")


def changes(old: Snapshot, new: Snapshot) -> list[Problem]:
    """Every setting that differs, but for those under MACHINE: its dotted name, and what it was and is now."""
    before, after = (
        _flat({key: value for key, value in settings.items() if key != MACHINE}) for settings in (old, new)
    )
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return [Problem("", key, f"was {before.get(key)!r}, now {after.get(key)!r}") for key in keys]


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
