"""What child processes say on stderr, kept for the error message instead of shown."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_ERROR = re.compile(r"\b([A-Z]\w*(?:Error|Exception)): (\S.*)$", re.MULTILINE)


class ChildLog:
    """A file without a name that takes the stderr of this process for a while, and of children started meanwhile for good."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the children; append, since all share it

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Send file descriptor 2 here, which libraries' C++ parts write to as well."""
        sys.stderr.flush()
        shown = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)

    def cause(self) -> str:
        """The first error named in the log, which later ones only pass on; empty where there is none."""
        text = os.pread(self._file.fileno(), 1 << 24, 0).decode(errors="replace")
        found = _ERROR.search(text)
        return f"{found[1]}: {found[2].strip()}" if found else ""
