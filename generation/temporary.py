"""Where runs on a cluster keep, on a machine's own disk, what is not handed over."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir


def cluster_folder() -> Path:
    """This user's folder for it among the temporary files, which nobody else can read; made where it is missing.

    Raises OSError where another user's, one that others can read, or a link has its place: what is in that could be anybody's.
    """
    path = Path(gettempdir()) / f"solon-ray-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "is not a folder of this user alone; remove it, or set TMPDIR", str(path))
    return path
