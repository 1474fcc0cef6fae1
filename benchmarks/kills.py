"""Kill runs at random moments with SIGKILL and go on: nothing lost, nothing made twice, the same files.

    python -m benchmarks.kills [--kills 100] [--vllm]

With --vllm the kills hit a real model on the machine, whose answers are not bit-identical between runs: there the check is
that every call that was on disk before a kill is on disk, unchanged, after the run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.common import command, replay, write_constitution, write_prompts
from generation.output.manifest import read as read_manifest

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


def kill_after(arguments: list[str], seconds: float) -> bool:
    """Start, kill the whole process group; False when it had finished before."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def on_replay(folder: Path, kills: int, dice: random.Random) -> None:
    """Kill runs until `kills` hit, each run to its end at last; compare with an uninterrupted one."""
    constitution, prompts = write_constitution(folder / "c.yaml", 4), write_prompts(folder / "p.jsonl", 100)
    whole = replay(constitution, prompts, folder / "whole", *SLOW)
    done = lost = duplicated = different = runs = 0
    while done < kills:
        out = folder / f"run-{runs}"
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
        process = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        grown = len(kept) + dice.randint(5, 60)
        deadline = time.monotonic() + 300
        while process.poll() is None and len(calls(folder / "run")) < grown and time.monotonic() < deadline:
            time.sleep(0.2)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            done += 1
        process.wait()
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


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, help="how many (default: 100 on the replay engine, 3 on vLLM)")
    parser.add_argument("--vllm", action="store_true", help="kill a real vLLM run")
    options = parser.parse_args()
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        if options.vllm:
            on_vllm(Path(name), options.kills or 3, dice)
        else:
            on_replay(Path(name), options.kills or 100, dice)


if __name__ == "__main__":
    main()
