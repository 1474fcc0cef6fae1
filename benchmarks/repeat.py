"""How long a finished run of 10,000 calls takes when its command is given again.

python -m benchmarks.repeat
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.common import command, replay, show, write_constitution, write_prompts

CALLS = 10_000


def main() -> None:
    """Run once, repeat, compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        constitution, prompts = write_constitution(folder / "c.yaml", 4), write_prompts(folder / "p.jsonl", CALLS // 30)
        begin = time.perf_counter()
        first = replay(constitution, prompts, folder / "run")
        made = time.perf_counter() - begin
        before = (folder / "run" / "manifest.json").read_bytes()
        begin = time.perf_counter()
        again = subprocess.run(
            command(constitution, prompts, folder / "run", "--engine", "replay"),
            check=True,
            capture_output=True,
            text=True,
        )
        repeated = time.perf_counter() - begin
        assert "0 calls made" in again.stdout
        assert (folder / "run" / "manifest.json").read_bytes() == before
        assert first.calls.made >= CALLS, first.calls
        show(f"first run, {first.calls.made:,} calls", made, "s", "none")
        show(f"a finished run of {first.calls.made:,} calls repeated", repeated, "s", "<= 5")


if __name__ == "__main__":
    main()
