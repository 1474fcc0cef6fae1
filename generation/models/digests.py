"""Digests of files that take a while to read, remembered in the user's cache folder."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from constitution.digest import SIZE, digest, file_digest


def cache_folder() -> Path:
    """Where converted weights and digests are kept: $SOLON_CACHE, or the user's cache folder."""
    base = os.environ.get("SOLON_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solon"


def remembered_digest(path: Path) -> str:
    """Digest of a file's bytes, remembered by path, size and times, since weights take a while to read."""
    real = path.resolve()
    stat = real.stat()
    identity = [str(real), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    name = digest(json.dumps(identity))
    remembered = cache_folder() / "digests" / name
    try:
        known = remembered.read_text(encoding="ascii")
    except OSError:
        known = ""
    if len(known) == 2 * SIZE:  # shorter after a power cut
        return known
    found = file_digest(real)
    remember(remembered, found)
    return found


def remember(path: Path, text: str) -> None:
    """Write a file of the cache whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(scratch, path)
        finally:
            Path(scratch).unlink(missing_ok=True)
    except OSError:
        return
