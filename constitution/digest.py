"""Digests: what names a call, a file or a setting, and what draws at random without a seed of its own. blake2b throughout."""

from __future__ import annotations

import hashlib
from pathlib import Path

SIZE = 16
"""Bytes of a digest that names something."""
_CHUNK = 1 << 22


def hasher(size: int = SIZE) -> hashlib.blake2b:
    """For what comes in pieces. size: bytes of the digest."""
    return hashlib.blake2b(digest_size=size)


def digest(data: str | bytes, size: int = SIZE) -> str:
    """Hex digest of a text in UTF-8, or of bytes: 2 * size characters."""
    return hashlib.blake2b(_bytes(data), digest_size=size).hexdigest()


def integer(data: str | bytes, size: int = 8) -> int:
    """The digest as an integer, evenly spread over [0, 2^(8 size)): a random number that is the same for the same text."""
    return int.from_bytes(hashlib.blake2b(_bytes(data), digest_size=size).digest(), "big")


def fraction(data: str | bytes) -> float:
    """The digest as a number evenly spread over [0, 1]."""
    return integer(data) / (1 << 64)


def file_digest(path: Path) -> str:
    """Hex digest of a file's bytes. Raises OSError."""
    found = hasher()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
