"""Runs on the replay engine as they grow: calls a second, memory, the report and a restart, each in a process of its own.

    python -m benchmarks.scale [--prompts 10000 100000 1000000]

Prompts are made from one template, as many data sets are; each takes four calls. `--folder` needs about 3 GB for a million.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path

import psutil

from benchmarks.common import show, write_constitution
from evaluation.audit.command import write_report
from generation.output.manifest import Manifest
from generation.pipeline.job import Job, prepare, produce
from generation.pipeline.progress import Progress
from generation.request import FeedbackSettings
from training.model.memory import process as heap

LIGHT = ("plan.rounds=0", "plan.principles=1")
"""Four calls a prompt."""
LEFT = 20_000
"""Prompts that are not finished when a run is killed; half of them where that is fewer."""
WATCHED = 0.02
"""Seconds between two looks at a run."""


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


def one(folder: Path, rows: int, principles: int, overrides: Iterable[str], until: int) -> None:
    """One run in this process, which kills itself once `until` prompts are finished.

    Prints calls, seconds and CPU up to the report or the kill, CPU of the report, peak memory in MiB, and seconds from the start of
    the process to the first call that is made.
    """
    job, progress = job_of(folder, rows, principles, overrides), Progress(rows, stream=StringIO())
    first: list[float] = []
    begin = time.perf_counter(), time.process_time()

    def tell(report: float) -> None:
        calls, wall, cpu = progress.snapshot().made, time.perf_counter() - begin[0], time.process_time() - begin[1]
        print(json.dumps([calls, wall, cpu - report, report, heap.peak() / 2**20, *first]), flush=True)

    def watch() -> None:
        while not progress.snapshot().made:
            time.sleep(WATCHED)
        first.append(time.time() - psutil.Process().create_time())
        while progress.snapshot().done < until:
            time.sleep(WATCHED)
        tell(0.0)
        os.kill(os.getpid(), signal.SIGKILL)

    def report(out: Path, manifest: Manifest) -> None:
        start = time.process_time()
        write_report(out, manifest)
        tell(time.process_time() - start)

    threading.Thread(target=watch, daemon=True).start()
    with redirect_stderr(StringIO()):
        asyncio.run(produce(job, report, progress))


def measured(
    folder: Path, rows: int, principles: int, overrides: Iterable[str], until: int | None = None
) -> tuple[float, ...]:
    """What `one` prints, of a process of its own."""
    arguments = ["--folder", str(folder), "--one", str(rows), "--principles", str(principles)]
    arguments += ["--until", str(until or rows + 1), "--set", *overrides]
    done = subprocess.run([sys.executable, "-m", "benchmarks.scale", *arguments], stdout=subprocess.PIPE, text=True)
    assert done.returncode == (-signal.SIGKILL if until else 0), done
    return tuple(json.loads(done.stdout))


def over_prompts(folder: Path, counts: Iterable[int]) -> None:
    """Speed, memory and finishing phase, and how soon a run that was killed near its end goes on."""
    for rows in counts:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            calls, wall, cpu, _, memory, _ = measured(Path(name), rows, 4, LIGHT, rows - min(LEFT, rows // 2))
            _, _, _, report, memory_after, first = measured(Path(name), rows, 4, LIGHT)
        tell = partial(show, column=f"{rows:,} prompts")
        tell("calls a second", calls / wall, "calls/s", "flat")
        tell("CPU of a call", 1000 * cpu / calls, "ms", "flat")
        tell("peak memory until it is killed", memory, "MiB", "< 400")
        tell("from the next start to its first call", first, "s", "< 60")
        tell("CPU of the report", report, "s", "none")
        tell("peak memory of the next start, with files and report", memory_after, "MiB", "< 400")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--prompts", type=int, nargs="+", default=[10_000, 100_000], help="sizes (default: %(default)s)"
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where runs are made")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--principles", type=int, default=4, help=argparse.SUPPRESS)
    parser.add_argument("--set", nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.folder, options.one, options.principles, options.set, options.until)
    else:
        over_prompts(options.folder, options.prompts)


if __name__ == "__main__":
    main()
