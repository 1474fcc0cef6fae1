"""What the pipeline itself costs: calls per second without a model, and memory as the number of prompts grows.

python -m benchmarks.overhead [--most 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from benchmarks.common import show, write_constitution, write_prompts
from generation.engines.checkpoint import load_tokenizer
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.pipeline.job import prepare, produce
from generation.request import FeedbackSettings
from training.model.memory import process as heap

LIGHT = ["plan.rounds=0", "plan.principles=1"]
"""Four calls a prompt, so that 100,000 prompts are done in minutes."""


def one(rows: int, overrides: list[str]) -> None:
    """One run in this process; prints calls, seconds and peak memory in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        constitution, prompts = write_constitution(folder / "c.yaml", 4), write_prompts(folder / "p.jsonl", rows)
        settings = FeedbackSettings(
            constitution=constitution,
            prompts=str(prompts),
            out=str(folder / "run"),
            engine="replay",
            overrides=tuple(overrides),
        )
        job = prepare(settings)
        begin = time.perf_counter()
        with redirect_stderr(StringIO()):
            manifest = asyncio.run(produce(job))
        assert manifest is not None
        seconds = time.perf_counter() - begin
        print(manifest.calls.made, seconds, heap.peak() / 2**20)


def measure(rows: int, overrides: list[str]) -> tuple[float, float]:
    """Calls per second and peak memory in MiB, of a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.overhead", "--one", str(rows), *overrides]
    out = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()
    return float(out[0]) / float(out[1]), float(out[2])


def encoding() -> float:
    """Seconds to encode one judge's prompt of ordinary length with the embedded model's tokenizer."""
    encoder = Encoder(load_tokenizer(resolve("embedded")))
    chat = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog again. " * 25}]
    begin = time.perf_counter()
    for _ in range(500):
        encoder.encode(chat)
    return (time.perf_counter() - begin) / 500


def main() -> None:
    """Speed at full settings, then memory from 1,000 prompts up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=100_000, help="prompts of the largest run")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options, overrides = parser.parse_known_args()
    if options.one:
        one(options.one, overrides)
        return
    rate, _ = measure(1000, [])
    show("calls a second through the pipeline on the replay engine", rate, "calls/s", ">= 1,500")
    show("the same with a 300-token prompt encoded for each call", 1 / (1 / rate + encoding()), "calls/s", "none")
    rows = 1000
    while rows <= options.most:
        rate, memory = measure(rows, LIGHT)
        show(f"{rows:,} prompts: speed", rate, "calls/s", ">= 1,500")
        show(f"{rows:,} prompts: peak memory", memory, "MiB", "flat")
        rows *= 10


if __name__ == "__main__":
    main()
