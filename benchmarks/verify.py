"""Corrupted datasets that `evaluate verify` finds, alarms on sound ones, and rows a second.

    python -m benchmarks.verify [--clean FILE ...] [--rows 1000] [--seeds 3] [--many 1000000]

A corruption is found where one of the checks that are meant for it says error or warning; an alarm on a sound set is any error or
warning. Sound sets of our own: simulated pairs in each of their forms, rankings, and a run on the replay engine.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import verify_made as made
from benchmarks.common import replay, show, write_constitution, write_prompts
from evaluation.verify.checking import find
from evaluation.verify.finding import Finding
from evaluation.verify.scan import scan
from evaluation.verify.settings import VerifySettings


def alarms(spec: str) -> list[Finding]:
    """Errors and warnings of a dataset."""
    return [one for one in find(scan(VerifySettings(dataset=spec))) if one.severity != "note"]


def written(folder: Path, splits: made.Splits) -> str:
    """A dataset on the disk."""
    folder.mkdir(parents=True)
    for name, rows in splits.items():
        (folder / f"{name or 'data'}.jsonl").write_text(made.lines(rows), encoding="utf-8")
    return str(folder)


def corrupted(folder: Path, rows: int, seeds: int) -> None:
    """Each kind of corruption, for each seed."""
    whole = 0
    for number, kind in enumerate(made.KINDS):
        found, others = 0, set[str]()
        for seed in range(seeds):
            given = made.simulated(rows, 1000 * seed + number)
            spec = written(folder / f"{number}-{seed}", kind.make(given, random.Random(seed)))
            names = {one.check for one in alarms(spec)}
            found += not names.isdisjoint(kind.found_by)
            others |= names.difference(kind.found_by)
        whole += found == seeds
        beside = f"  beside: {', '.join(sorted(others))}" if others else ""
        print(f"{kind.name:45} {found} of {seeds}{beside}", flush=True)
    show("kinds of corruption found, every seed", whole, f"of {len(made.KINDS)}", f"{len(made.KINDS)}")


def sound(folder: Path, rows: int, seeds: int, files: list[str]) -> None:
    """Alarms on sound sets."""
    said, sets = 0, 0
    for name, spec in _sound(folder, rows, seeds, files):
        found = alarms(spec)
        sets, said = sets + 1, said + len(found)
        for one in found:
            print(f"{name}: {one.severity} {one.check} {one.hits} of {one.of}: {one.what}", flush=True)
    show("alarms on sound sets", said, f"on {sets} sets", "0")


def _sound(folder: Path, rows: int, seeds: int, files: list[str]) -> Iterator[tuple[str, str]]:
    yield from ((Path(file).name, file) for file in files)
    for seed in range(seeds):
        for size in (20, 60, 200, rows):
            given = made.simulated(size, 7000 + seed + size)
            for name, parts in (
                ("judged", {"": given}), ("scored", made.split(made.binarized(given))), ("plain", made.split(made.plain(given))),
                ("rankings", {"": made.rankings(max(4, size // 4), seed + size)}),
            ):  # fmt: skip
                yield f"{name} {size} {seed}", written(folder / f"{name}-{size}-{seed}", parts)
    run = folder / "run"
    prompts, constitution = write_prompts(folder / "p.jsonl", 300), write_constitution(folder / "c.yaml", 3)
    replay(constitution, prompts, run)
    yield "a run on the replay engine", str(run)


def speed(folder: Path, rows: int) -> None:
    """Seconds for many rows, of text and of messages."""
    draw = random.Random(0)
    texts = [made.text(draw, 80) for _ in range(2000)]
    file = folder / "many.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for i in range(rows):
            one, other = draw.choices(texts, k=2)
            row = {"prompt": f"{i} {texts[i % 2000][:150]}", "chosen": f"{one} {i}", "rejected": f"{other} {i}"}
            out.write(made.lines([row | {"score_chosen": draw.random() + 0.3, "score_rejected": draw.random()}]))
    _timed("JSON lines of texts", str(file), rows)
    table = folder / "many.parquet"
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, 50_000):
        part = pa.Table.from_pylist(
            [
                {
                    "prompt": [{"role": "user", "content": f"{i} {texts[i % 2000][:150]}"}],
                    "chosen": [{"role": "assistant", "content": f"{texts[i * 7 % 1999]} {i}"}],
                    "rejected": [{"role": "assistant", "content": f"{texts[i * 11 % 1997]} {i}"}],
                }
                for i in range(start, min(rows, start + 50_000))
            ]
        )
        writer = writer or pq.ParquetWriter(table, part.schema)
        writer.write_table(part)
    if writer:
        writer.close()
    _timed("parquet of messages", str(table), rows)


def _timed(name: str, spec: str, rows: int) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    with redirect_stdout(StringIO()):
        alarms(spec)
    seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    show(f"verify, {rows:,} rows, {name}", seconds, "s", "<= 60")
    show(f"verify, {rows:,} rows, {name}: CPU", spent, "CPU s", "report")
    show(
        f"verify, {rows:,} rows, {name}: peak",
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "MiB",
        "report",
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", action="append", default=[], metavar="FILE", help="a sound set; repeatable")
    parser.add_argument("--rows", type=int, default=1000, help="rows of each corrupted set")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--many", type=int, default=0, help="rows of the set that is timed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corrupted(folder / "corrupted", options.rows, options.seeds)
        (folder / "sound").mkdir()
        sound(folder / "sound", options.rows, options.seeds, options.clean)
        if options.many:
            speed(folder, options.many)


if __name__ == "__main__":
    main()
