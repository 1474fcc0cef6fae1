"""Which of the processes that train together this one is, and how it speaks: known before any library loads."""

from __future__ import annotations

import os
import time

from constitution.terminal import complain

_PATIENCE = 30.0
"""Seconds in which the launcher has surely ended the other processes of one that failed."""


def first() -> bool:
    """True for the process that speaks and writes for all."""
    return os.environ.get("RANK", "0") == "0"


def tell(error: object) -> None:
    """Print what is wrong, once: the first process does, and the launcher then ends the others.

    An error of another process alone is told by that one, after a time in which the first had its chance.
    """
    if not first():
        time.sleep(_PATIENCE)
    complain(error)
