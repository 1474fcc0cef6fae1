"""Kill runs at random moments with SIGKILL and go on: nothing lost, nothing made twice, the same files.

    python -m benchmarks.kills [--kills 100] [--vllm | --training]

With --vllm the kills hit a real model on the machine, whose answers are not bit-identical between runs: there the check is
that every call that was on disk before a kill is on disk, unchanged, after the run. With --training the kills hit trainings of a
tiny model, whose weights must be the same bit for bit. `benchmarks.loop_kills` does the same to loops.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.common import command, replay, settings, show, write_constitution, write_prompts
from benchmarks.tiny import make_tiny, some_pairs, some_targets
from generation.output.manifest import read as read_manifest

TRAINED = {
    "batch_size": 2,
    "micro_batch_size": 2,
    "epochs": 3,
    "save_every": 2,
    "precision": "fp32",
    "test_fraction": 0,
    "report_to": [],
}
"""Settings of the trainings: 24 steps, a checkpoint every two."""
SLOW = ("--set", "replay_latency=0.02", "--set", "prompts_in_flight=8")


def calls(run: Path) -> dict[bytes, bytes]:
    """Key -> record of every call on disk."""
    if not (run / "calls.sqlite").is_file():
        return {}
    connection = sqlite3.connect(f"file:{run / 'calls.sqlite'}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT key, record FROM calls"))
    except sqlite3.OperationalError:  # killed before the table was made
        return {}
    finally:
        connection.close()


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start it in a process group of its own, in silence."""
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill the whole process group; False when the process had finished before."""
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def kill_after(arguments: list[str], seconds: float) -> bool:
    """Start it, and kill it after a while."""
    process = start(arguments)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    return kill(process)


def kill_in(arguments: list[str], metrics: Path, dice: random.Random) -> bool:
    """The same at a random one of the next steps that a training notes, or up to a fifth of a second after it."""
    noted = _lines(metrics) + dice.randint(1, 8)
    process = start(arguments)
    while process.poll() is None and _lines(metrics) < noted:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 0.2))
    return kill(process)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def on_replay(folder: Path, kills: int, dice: random.Random) -> None:
    """Kill runs until `kills` hit, each run to its end at last; compare with an uninterrupted one."""
    constitution, prompts = write_constitution(folder / "c.yaml", 4), write_prompts(folder / "p.jsonl", 100)
    # named like those that are killed, since the page shows the name
    whole = replay(constitution, prompts, folder / "whole" / "run", *SLOW)
    done = lost = duplicated = different = runs = 0
    while done < kills:
        out = folder / f"killed-{runs}" / "run"
        runs += 1
        before: dict[bytes, bytes] = {}
        for _ in range(min(10, kills - done)):
            if not kill_after(command(constitution, prompts, out, "--engine", "replay", *SLOW), dice.uniform(0.3, 2.5)):
                break
            done += 1
            after = calls(out)
            lost += sum(after.get(key) != record for key, record in before.items())
            before = after
        manifest = replay(constitution, prompts, out, *SLOW)
        lost += sum(calls(out).get(key) != record for key, record in before.items())
        duplicated += manifest.calls.made - whole.calls.made
        different += manifest.files != whole.files
    show(f"calls lost or made twice after {done:,} kills of {runs} runs", lost + duplicated, "calls", "0")
    show(f"runs with other files after {done:,} kills", different, "runs", "0")
    print(
        f"replay: {done} kills over {runs} runs: {lost} calls lost, {duplicated} duplicated, {different} runs with other files"
    )
    assert (lost, duplicated, different) == (0, 0, 0)


def on_vllm(folder: Path, kills: int, dice: random.Random) -> None:
    """The same on the embedded model in vLLM."""
    constitution, prompts = write_constitution(folder / "c.yaml", 4), write_prompts(folder / "p.jsonl", 24)
    arguments = command(
        constitution,
        prompts,
        folder / "run",
        "--set",
        "vllm={max_model_len: 2048}",
        "--set",
        "plan.sample.max_tokens=96",
    )
    kept: dict[bytes, bytes] = {}
    lost = done = 0
    for _ in range(kills):
        process = start(arguments)
        grown = len(kept) + dice.randint(5, 60)
        deadline = time.monotonic() + 300
        while process.poll() is None and len(calls(folder / "run")) < grown and time.monotonic() < deadline:
            time.sleep(0.2)
        done += kill(process)
        after = calls(folder / "run")
        lost += sum(after.get(key) != record for key, record in kept.items())
        print(f"vLLM: killed with {len(after)} calls on disk", flush=True)
        kept = after
    subprocess.run(arguments, check=True, capture_output=True)
    final = calls(folder / "run")
    lost += sum(final.get(key) != record for key, record in kept.items())
    manifest = read_manifest(folder / "run")
    assert manifest is not None
    print(f"vLLM: {done} kills: {lost} calls lost, {manifest.calls.made} calls in all, {len(final)} on disk")
    assert lost == 0
    assert manifest.calls.made == len(final)


def on_training(folder: Path, kills: int, dice: random.Random) -> None:
    """Kill trainings of a tiny model, each recipe in turn; compare weights with those of an uninterrupted one."""
    model = make_tiny(folder / "model")
    data = {"sft": some_targets(16), "dpo": some_pairs(16), "reward": some_pairs(16)}
    done = different = trainings = 0
    whole: dict[str, str] = {}
    while done < kills:
        recipe = [*data][trainings % len(data)]
        rows = folder / f"{recipe}.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in data[recipe]), encoding="utf-8")

        def train(out: Path, recipe: str = recipe, rows: Path = rows) -> list[str]:
            given = ["--model", str(model), "--data", str(rows), "--out", str(out), *settings(TRAINED)]
            return [sys.executable, "-m", "training", recipe, *given]

        if recipe not in whole:
            subprocess.run(train(folder / f"{recipe}-whole"), check=True, capture_output=True)
            whole[recipe] = weights(folder / f"{recipe}-whole")
        out = folder / f"{recipe}-{trainings}"
        trainings += 1
        for _ in range(min(4, kills - done)):
            if not kill_in(train(out), out / "metrics.jsonl", dice):
                break
            done += 1
        subprocess.run(train(out), check=True, capture_output=True)
        different += weights(out) != whole[recipe]
        shutil.rmtree(out)
        print(f"training: {done} kills so far, {different} of {trainings} trainings with other weights", flush=True)
    show(f"trainings with other weights after {done:,} kills of {trainings}", different, "trainings", "0")
    assert different == 0


def weights(folder: Path) -> str:
    """Digest of all weights that a training left."""
    h = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        h.update(path.read_bytes())
    return h.hexdigest()


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--kills", type=int, help="how many (default: 100 on the replay engine, 12 of trainings, 3 on vLLM)"
    )
    parser.add_argument("--vllm", action="store_true", help="kill a real vLLM run")
    parser.add_argument("--training", action="store_true", help="kill trainings of a tiny model")
    options = parser.parse_args()
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        if options.training:
            on_training(Path(name), options.kills or 12, dice)
        elif options.vllm:
            on_vllm(Path(name), options.kills or 3, dice)
        else:
            on_replay(Path(name), options.kills or 100, dice)


if __name__ == "__main__":
    main()
