"""Checkpoints for resuming that are known to be whole: on disk, and by the digest of each of their files."""

from __future__ import annotations

import json
from pathlib import Path

from constitution.digest import file_digest
from generation.output.files import contents, sync, write_atomically

SEAL = "digests.json"
"""Written last: file -> digest. A checkpoint without it was cut short."""


def seal(folder: Path) -> None:
    """Wait until a checkpoint's files are on disk, then write their digests."""
    files = _files(folder)
    for path in files.values():
        sync(path)
    sync(folder)
    write_atomically(folder / SEAL, json.dumps({name: file_digest(path) for name, path in files.items()}, indent=2))
    sync(folder.parent)


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None for a whole one."""
    try:
        digests = json.loads(contents(folder / SEAL))
        files = _files(folder)
        if not isinstance(digests, dict) or not digests:
            return f"{SEAL} names no files"
        for name, digest in digests.items():
            if name not in files:
                return f"{name} is missing"
            if file_digest(files[name]) != digest:
                return f"{name} is not what was written"
    except FileNotFoundError:
        return "it was cut short"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({error})"
    return None


def _files(folder: Path) -> dict[str, Path]:
    """Ordinary files in a checkpoint and its folders, by their names from there."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    found.pop(SEAL, None)
    return found
