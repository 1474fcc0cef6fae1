"""CPU seconds, user and system, that each command takes to show its help; and `import solon`.

python -m benchmarks.help
"""

from __future__ import annotations

import resource
import subprocess
import sys

import evaluation.__main__ as evaluation
import solon.__main__ as solon
import training.catalogue as training
from benchmarks.common import ROOT, show
from constitution.__main__ import ASKING

TARGET = 0.6
COMMANDS = (
    "",
    *solon.COMMANDS,
    *(f"constitution {name}" for name in ("lint", "show", "diff", "import", *ASKING)),
    *(f"evaluate {name}" for name in evaluation.COMMANDS),
    *(f"train {name}" for name in training.COMMANDS),
    "calls show",
)
REPEATS = 3
"""Runs of each command; the quickest counts, since others share the machine."""


def main() -> None:
    """Run each command's help and print what it took."""
    taken = {words: seconds(["-m", "solon", *words.split(), "--help"]) for words in COMMANDS}
    for words, cpu in taken.items():
        print(f"{' '.join(filter(None, ('solon', words, '--help'))):50}{cpu:8.3f} s CPU")
    show(f"help of {len(taken)} commands, the slowest", max(taken.values()), "s CPU", f"<= {TARGET}")
    show("import solon", seconds(["-c", "import solon"]), "s CPU", "<= 0.3")


def seconds(arguments: list[str]) -> float:
    """CPU seconds of Python with these arguments."""
    return min(_once(arguments) for _ in range(REPEATS))


def _once(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
