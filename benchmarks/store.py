"""Calls committed to disk a second: many to a commit, against one to a commit; and calls read a second.

python -m benchmarks.store
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.common import show
from generation.calls.store import CallStore
from generation.engines.base import Completion, Usage

RECORD = Completion("word " * 600, "stop", {"A": -0.5, "B": -1.5}, Usage(900, 600, 600))
"""About 3 KB on disk."""
MANY = 20_000
FEW = 500


def main() -> None:
    """Write both ways, then read."""
    keys = [i.to_bytes(16, "big") for i in range(MANY)]
    with tempfile.TemporaryDirectory() as name:
        store = CallStore(Path(name) / "many.sqlite")
        begin = time.perf_counter()
        for key in keys:
            store.put(key, "sample", "model", RECORD)
        store.flush()
        many = MANY / (time.perf_counter() - begin)
        begin = time.perf_counter()
        assert all(store.get(key) == RECORD for key in keys)
        reads = MANY / (time.perf_counter() - begin)
        store.close()

        single = CallStore(Path(name) / "single.sqlite", window=1)
        begin = time.perf_counter()
        for key in keys[:FEW]:
            single.put(key, "sample", "model", RECORD)
            single.flush()
        one = FEW / (time.perf_counter() - begin)
        single.close()
    show("one call to a commit", one, "calls/s", "none")
    show("calls committed a second", many, "calls/s", ">= 5,000")
    show("256 to a commit over one", many / one, "times", "none")
    show("calls read back", reads, "calls/s", "none")


if __name__ == "__main__":
    main()
