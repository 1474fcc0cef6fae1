"""Digests of files that take a while to read, remembered in the user's cache folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

_SIZE = 16
"""Bytes of a digest."""


def cache_folder() -> Path:
    """Where converted weights and digests are kept: $SOLON_CACHE, or the user's cache folder."""
    base = os.environ.get("SOLON_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solon"


def file_digest(path: Path) -> str:
    """Digest of a file's bytes, remembered by path, size and times, since weights take a while to read."""
    real = path.resolve()
    stat = real.stat()
    identity = [str(real), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    name = blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    remembered = cache_folder() / "digests" / name
    try:
        digest = remembered.read_text(encoding="ascii")
    except OSError:
        digest = ""
    if len(digest) == 2 * _SIZE:  # shorter after a power cut
        return digest
    h = blake2b(digest_size=_SIZE)
    for chunk in _chunks(real):
        h.update(chunk)
    _remember(remembered, h.hexdigest())
    return h.hexdigest()


def _remember(path: Path, digest: str) -> None:
    """Write it whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(digest)
            os.replace(scratch, path)
        finally:
            Path(scratch).unlink(missing_ok=True)
    except OSError:
        return


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            yield chunk
