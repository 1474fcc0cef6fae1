"""CPU of a call on the replay engine as principles and candidates grow, each run in a process of its own.

    python -m benchmarks.width

The more principles or candidates, the more calls share what is made once for a prompt.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.common import show
from benchmarks.scale import measured

PROMPTS = 60
"""Of a run of four principles or candidates, fewer of wider ones."""


def main() -> None:
    """Measure 1 to 64 principles and 2 to 16 candidates."""
    for name, widths in (("principles", (1, 4, 16, 64)), ("candidates", (2, 4, 8, 16))):
        for width in widths:
            principles = width if name == "principles" else 1
            samples = width if name == "candidates" else 2
            plan = ("plan.rounds=0", f"plan.principles={principles}", f"plan.samples={samples}", "plan.controls=0")
            with tempfile.TemporaryDirectory() as place:
                calls, _, cpu, *_ = measured(Path(place), PROMPTS * 4 // width + 20, principles, plan)
            show(f"{width} {name}: CPU of a call", 1000 * cpu / calls, "ms", "no growth")


if __name__ == "__main__":
    main()
