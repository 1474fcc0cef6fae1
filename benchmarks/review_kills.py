"""Kill a program with SIGKILL while it adds labels, and send the unacknowledged one again: none lost, none twice.

python -m benchmarks.review_kills [--kills 50]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import show
from generation.data.labels import Labels

ADD = """
import sys
from pathlib import Path
from evaluation.review.adding import add_label
from generation.data.labels import Label
for line in sys.stdin:
    name = line.strip()
    add_label(Path(sys.argv[1]), Label(prompt_id=name, a="x", b="y", label="a", by="eve", id=name, note="n" * 2000))
    print(name, flush=True)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Give labels one by one to a program that is killed at random moments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills (default: %(default)s)")
    options = parser.parse_args(arguments)
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        acknowledged: list[str] = []
        for _ in range(options.kills):
            one_life(run, acknowledged, dice.uniform(0.0, 0.2))
        found = Labels((run / "review.jsonl").read_bytes())
        ids = Counter(name for (name, _, _), _ in found.people())
        lines = Counter(row["id"] for row in whole_lines(run / "review.jsonl"))
        show("labels acknowledged", len(acknowledged), "", "report")
        show("labels lost in the kills", sum(one not in ids for one in acknowledged), "", "0")
        show("labels doubled in the kills", sum(count > 1 for count in lines.values()), "", "0")
        show("lines left torn, and told", len(found.problems), "", "report")


def one_life(run: Path, acknowledged: list[str], seconds: float) -> None:
    """Label until the program is killed, `seconds` after its first label; the next one sends that label again."""
    with subprocess.Popen(
        [sys.executable, "-c", ADD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        ends = None
        while ends is None or time.monotonic() < ends:
            name = f"n{len(acknowledged)}"
            program.stdin.write(name + "\n")
            program.stdin.flush()
            if ends is not None and time.monotonic() + 0.0005 > ends:
                break
            acknowledged.append(program.stdout.readline().strip())
            ends = ends or time.monotonic() + seconds
        program.kill()


def whole_lines(path: Path) -> list[dict[str, str]]:
    """The lines that are JSON."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


if __name__ == "__main__":
    main()
