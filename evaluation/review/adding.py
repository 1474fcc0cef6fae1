"""Add a person's label to a run's `review.jsonl`: one line, whole and on disk before anybody is told that it is there.

Lines are never rewritten. Several programs may add at once: each holds the file's lock while it writes. A program that was killed
may leave part of a line behind; the next label starts a line of its own.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from constitution.errors import Problem, UserError
from generation.data.labels import Label
from generation.output.files import sync
from generation.output.folder import LABELS

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Added(NamedTuple):
    """What became of a label."""

    new: bool
    """False where the very answer, by its id, was there already."""
    healed: bool
    """The file ended within a line, which a killed program left behind."""


def add_label(run: Path, label: Label) -> Added:
    """Add a label to the labels of the run in this folder. Raises UserError where that cannot be written."""
    path = run / LABELS
    if not label.time:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        label = label.model_copy(update={"time": now})
    line = json.dumps(label.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n"
    try:
        with _locked(path) as handle:
            return _add(handle, line.encode(), label.id)
    except OSError as error:
        got = f"cannot be written ({error.strerror or error})"
        raise UserError(Problem(str(path), got=got, fix="mend that, and give the label again")) from None


def _add(handle: int, line: bytes, name: str) -> Added:
    body = _contents(handle)
    torn = bool(body) and not body.endswith(b"\n")
    if name and any(known.id == name for known in _like(body, name)):
        if torn:
            _write(handle, b"\n")
        os.fsync(handle)  # whoever wrote it may not have come so far
        return Added(False, torn)
    _write(handle, b"\n" * torn + line)
    os.fsync(handle)
    return Added(True, torn)


def _write(handle: int, data: bytes) -> None:
    written = os.write(handle, data)
    if written != len(data):
        raise OSError(0, f"only {written} of {len(data)} bytes went into it")


def _like(body: bytes, name: str) -> Iterator[Label]:
    """The labels among the lines that hold a text."""
    sought = json.dumps(name, ensure_ascii=False).encode()
    for line in body.split(b"\n") if sought in body else ():
        if sought in line:
            try:
                yield Label.model_validate_json(line)
            except ValidationError:
                continue


def _contents(handle: int) -> bytes:
    size = os.fstat(handle).st_size
    parts, at = [], 0
    while at < size and (part := os.pread(handle, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, opened to be added to, with its lock. A link is refused."""
    new = not path.exists()
    handle = os.open(path, _FLAGS | os.O_CREAT, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "is no ordinary file")
        fcntl.flock(handle, fcntl.LOCK_EX)
        if new:
            sync(path.parent)
        yield handle
    finally:
        os.close(handle)
