"""Files that evaluations write."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from constitution.errors import Problem, Problems, UserError
from generation.output.files import write_atomically


def check_writable(*paths: Path | None) -> None:
    """Make the folders of files that are to be written. Raises UserError with every one that cannot be."""
    problems = Problems()
    for path in paths:
        if path is None:
            continue
        with problems.collect():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(path, error.strerror) from None
            if path.is_dir():
                raise _unwritable(path, "is a folder")
            if not os.access(path.parent, os.W_OK):
                raise _unwritable(path, "Permission denied")
    problems.check()


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise _unwritable(path, error.strerror) from None


def write_json(path: Path, value: object) -> None:
    """Numbers that JSON has not (infinity, NaN) are written as null. Raises UserError where it cannot be written."""
    write(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unwritable(path: Path, reason: str | None) -> UserError:
    return UserError(Problem(str(path), got=f"cannot be written ({reason})", fix="choose another file"))
