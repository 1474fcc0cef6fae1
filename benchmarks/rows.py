"""How fast rows are read, and in how much memory.

    python -m benchmarks.rows [--rows 1000000] [--format jsonl parquet]

Writes a file of that many prompts: messages with a system message, an id, tags and a column that is kept as metadata; and
reads it in a process of its own: rows a second, and the most memory that process held. A run reads its prompts twice: once to
check them, once to ask about them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import show
from constitution.records import Prompt
from generation.data import prompts

GROUP = 10_000
WORDS = "Why is the sky blue at noon and red when the sun goes down over the sea, and who was the first to say so?"


def row(i: int) -> dict[str, Any]:
    """One of the rows: about 250 characters."""
    text = f"{i}: {WORDS}"
    return {
        "id": f"p{i}",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        "tags": ["science", "sky"],
        "topic": f"topic {i % 97}",
    }


def write(path: Path, rows: int) -> None:
    """A file of prompts, in groups."""
    groups = ([row(i) for i in range(start, min(start + GROUP, rows))] for start in range(0, rows, GROUP))
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            for group in groups:
                file.writelines(json.dumps(one) + "\n" for one in group)
        return
    schema = pa.Table.from_pylist([row(0)]).schema
    with pq.ParquetWriter(path, schema) as writer:
        for group in groups:
            writer.write_table(pa.Table.from_pylist(group, schema))


def read(spec: str, sink: Any) -> None:
    """Read the rows, and send how long that took and the most memory that was held."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, used = time.perf_counter(), time.process_time()
    count = sum(isinstance(one, Prompt) for one in prompts.read(spec))
    seconds, used = time.perf_counter() - start, time.process_time() - used
    sink.send((count, seconds, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, before))


def measured(path: Path) -> tuple[int, float, float, int, int]:
    """(rows, seconds, seconds of a processor, most memory in KiB, memory before the first row) of a process that reads a file."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=read, args=(str(path), theirs))
    process.start()
    found: tuple[int, float, float, int, int] = ours.recv()
    process.join()
    return found


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", nargs="+", choices=("jsonl", "parquet"), default=["jsonl", "parquet"])
    options = parser.parse_args()
    show("load average at the start", os.getloadavg()[0], "", "none")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.format:
            path = Path(folder) / f"rows.{name}"
            write(path, options.rows)
            count, seconds, used, most, before = measured(path)
            assert count == options.rows
            show(f"{name}: rows read a second", round(count / seconds), "rows/s", "none")
            show(f"{name}: rows read a second of one processor", round(count / used), "rows/s", "none")
            show(f"{name}: memory before a row is read", round(before / 1024), "MiB", "none")
            show(f"{name}: memory held at most", round(most / 1024), "MiB", "none")
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
