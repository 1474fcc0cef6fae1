"""Runs on the replay engine as they grow: calls a second, memory and the report, each in a process of its own.

    python -m benchmarks.scale [--prompts 10000 100000 1000000]      # over the number of prompts
    python -m benchmarks.scale --width                               # over principles and candidates

Prompts are made from one template, as many data sets are; each takes four calls. `--folder` needs about 3 GB for a million.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from benchmarks.common import show, write_constitution
from evaluation.audit.command import write_report
from generation.output.manifest import Manifest
from generation.pipeline.job import Job, prepare, produce
from generation.request import FeedbackSettings
from training.model.memory import process as heap

LIGHT = ("plan.rounds=0", "plan.principles=1")
"""Four calls a prompt."""
WIDE_PROMPTS = 60
"""Of the runs that grow in principles or candidates."""


def write_prompts(path: Path, rows: int) -> Path:
    """Prompts that are filled into one template."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            file.write(
                json.dumps({"id": f"p{i}", "prompt": f"In one sentence, what is special about the number {i}?"}) + "\n"
            )
    return path


def job_of(folder: Path, rows: int, principles: int, overrides: Iterable[str]) -> Job:
    """A run on the replay engine, checked."""
    folder.mkdir(parents=True, exist_ok=True)
    constitution = write_constitution(folder / "c.yaml", principles)
    prompts = write_prompts(folder / "p.jsonl", rows)
    return prepare(
        FeedbackSettings(
            constitution=constitution, prompts=str(prompts), out=str(folder / "run"), engine="replay", overrides=tuple(overrides)
        )
    )  # fmt: skip


def one(folder: Path, rows: int, principles: int, overrides: Iterable[str]) -> None:
    """One run in this process; prints calls, seconds and CPU up to the report, CPU of the report, and peak memory in MiB."""
    job = job_of(folder, rows, principles, overrides)
    ended: list[tuple[float, float]] = []

    def report(out: Path, manifest: Manifest) -> None:
        ended.append((time.perf_counter(), time.process_time()))
        write_report(out, manifest)

    begin = time.perf_counter(), time.process_time()
    with redirect_stderr(StringIO()):
        manifest = asyncio.run(produce(job, report))
    (wall, cpu), end = ended[0], time.process_time()
    print(json.dumps([manifest.calls.made, wall - begin[0], cpu - begin[1], end - cpu, heap.peak() / 2**20]))


def measured(folder: Path, rows: int, principles: int, overrides: Iterable[str]) -> tuple[float, ...]:
    """What `one` prints, of a process of its own."""
    arguments = ["--folder", str(folder), "--one", str(rows), "--principles", str(principles), "--set", *overrides]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return tuple(json.loads(done.stdout))


def over_prompts(folder: Path, counts: Iterable[int]) -> None:
    """Speed, memory and finishing phase."""
    for rows in counts:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            calls, wall, cpu, report, memory = measured(Path(name), rows, 4, LIGHT)
        show(f"{rows:,} prompts: calls a second", calls / wall, "calls/s", "flat")
        show(f"{rows:,} prompts: CPU of a call", 1000 * cpu / calls, "ms", "flat")
        show(f"{rows:,} prompts: CPU of the report", report, "s", "none")
        show(f"{rows:,} prompts: peak memory", memory, "MiB", "< 400")


def over_width(folder: Path) -> None:
    """CPU of a call as principles and candidates grow."""
    for name, widths in (("principles", (1, 4, 16, 64)), ("candidates", (2, 4, 8, 16))):
        for width in widths:
            principles = width if name == "principles" else 1
            samples = width if name == "candidates" else 2
            plan = ("plan.rounds=0", f"plan.principles={principles}", f"plan.samples={samples}", "plan.controls=0")
            with tempfile.TemporaryDirectory(dir=folder) as place:
                calls, _, cpu, _, _ = measured(Path(place), WIDE_PROMPTS * 4 // width + 20, principles, plan)
            show(f"{width} {name}: CPU of a call", 1000 * cpu / calls, "ms", "no growth")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--prompts", type=int, nargs="+", default=[10_000, 100_000], help="sizes (default: %(default)s)"
    )
    parser.add_argument("--width", action="store_true", help="principles 1 to 64 and candidates 2 to 16 instead")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where runs are made")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--principles", type=int, default=4, help=argparse.SUPPRESS)
    parser.add_argument("--set", nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.folder, options.one, options.principles, options.set)
    elif options.width:
        over_width(options.folder)
    else:
        over_prompts(options.folder, options.prompts)


if __name__ == "__main__":
    main()
