"""Which of the processes that train together this one is; known before any library loads."""

from __future__ import annotations

import os

from constitution.terminal import complain


def first() -> bool:
    """True for the process that prints and writes for all."""
    return _rank() == 0


def tell(error: object) -> None:
    """Print what is wrong on stderr, each line with `[rank N]` in every process but the first."""
    mark = "" if first() else f"[rank {_rank()}] "
    complain("\n".join(f"{mark}{line}" for line in str(error).split("\n")))


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))
