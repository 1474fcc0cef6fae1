"""Folders for what is not finished: gone with the process that made one, or with the next one that makes one there."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import FileLock

_SECONDS = 10.0
"""How long a lock is waited for, which only a process that looks whether it is held can have."""


def place(parent: Path, name: str, token: str) -> Path:
    """Where the folder of a name and a token is."""
    return parent / f"{name}-{token}"


class Scratch:
    """A new folder `path` in `parent`, which only its user can read.

    It is deleted by `close`, or with this object. What killed processes left there under the same `name` is deleted first: a locked
    file beside each folder says that its process still lives.
    """

    def __init__(self, parent: Path, name: str, token: str = "") -> None:
        """token: sets the folder apart from others of the name; drawn where it is empty. Raises OSError."""
        _sweep(parent, name)
        self.path = place(parent, name, token or secrets.token_hex(8))
        lock = FileLock(f"{self.path}.lock", timeout=_SECONDS, mode=0o600, thread_local=False)
        lock.acquire()
        self.path.mkdir(mode=0o700)
        self.close = weakref.finalize(self, _remove, self.path, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sweep(parent: Path, name: str) -> None:
    """Delete the folders under a name whose processes are gone. What cannot be deleted, as another user's, stays."""
    for path in parent.glob(f"{name}-*.lock"):
        with suppress(OSError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid():
                with FileLock(path, timeout=0, mode=0o600) as lock:
                    _remove(path.with_suffix(""), lock)


def _remove(path: Path, lock: FileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
