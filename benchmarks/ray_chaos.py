"""Runs on a Ray cluster of this machine: killed at every place, and over 1 to 8 workers.

    python -m benchmarks.ray_chaos [--kills 200] [--prompts 2000]
    python -m benchmarks.ray_chaos --efficiency
    python -m benchmarks.ray_chaos --vllm

Three nodes with a temporary folder each, eight workers. Kills are SIGKILLs of workers, of the command, and of a node,
whose disk is lost with it; between them the storage is moved away for a while, and a node's disk is full where this
process may mount one. At the end the files must be those of one process. --efficiency measures stored calls a second
in the middle half of a run on engines of a fixed latency. --vllm kills one of two vLLM engines of the embedded model
three times; their answers differ between runs, so only counts are compared.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.common import command, replay, settings, show, write_constitution, write_prompts
from generation.output.manifest import whole

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # listen on the loopback device alone
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
LIMIT = 3600.0
"""Seconds after which a run that does not end is a failure."""
WORKERS = (2, 3, 3)
"""Of the three nodes. The first has the command, and is never killed."""
AWAY = 3.0
"""Seconds for which a storage is away or a disk is full."""


class Node(NamedTuple):
    """A node and its disk."""

    ray: Any
    disk: Path
    workers: int
    mounted: bool


class Machines:
    """A Ray cluster of this machine."""

    def __init__(self, folder: Path, workers: Sequence[int], mount: bool = False) -> None:
        """mount: give each node but the first a disk of its own, where that is allowed."""
        from ray.cluster_utils import Cluster

        self._folder, self._mount, self._number = folder, mount, 0
        self._cluster: Any = Cluster()
        self.nodes = [self._node(number) for number in workers]
        self.address: str = self._cluster.address

    def _node(self, workers: int) -> Node:
        disk = self._folder / f"disk-{self._number}"
        disk.mkdir()
        mounted = self._mount and self._number > 0 and _mounted(disk)
        self._number += 1
        return Node(self._added(workers, disk), disk, workers, mounted)

    def _added(self, workers: int, disk: Path, starts: int = 5) -> Any:
        """A node of Ray, which waits 30 seconds for it, and on a busy machine more are needed."""
        for last in (start == starts - 1 for start in range(starts)):
            try:
                return self._cluster.add_node(
                    num_cpus=workers, node_ip_address="127.0.0.1", include_dashboard=False, object_store_memory=80 << 20,
                    env_vars={"TMPDIR": str(disk)},
                )  # fmt: skip
            except Exception as error:  # Ray raises a plain one
                if last:
                    raise
                print(f"a node is started again: {error}", flush=True)
        raise AssertionError("the last start is raised")

    def lose(self, node: Node) -> None:
        """Kill all processes of a node, and another one takes its place, with an empty disk."""
        self.nodes.remove(node)
        self._cluster.remove_node(node.ray, allow_graceful=False)
        _gone(node)
        self.nodes.append(self._node(node.workers))

    def calls(self) -> int:
        """Calls on the disks of all nodes."""
        return sum(map(_count, self._folder.glob("disk-*/solon-ray-*/*/part-*/calls.sqlite")))

    def close(self) -> None:
        """Stop all processes."""
        self._cluster.shutdown()
        for node in self.nodes:
            _gone(node)


def _mounted(disk: Path) -> bool:
    """Put a small file system of its own there; False where that is not allowed."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)]
    return shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0


def _gone(node: Node) -> None:
    if node.mounted:
        subprocess.run(["umount", "-l", str(node.disk)], capture_output=True)
    shutil.rmtree(node.disk, ignore_errors=True)


def _count(path: Path) -> int:
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])
        finally:
            connection.close()
    return 0


@contextmanager
def machines(folder: Path, workers: Sequence[int], mount: bool = False) -> Iterator[Machines]:
    """A cluster, until the block ends."""
    cluster = Machines(folder, workers, mount)
    try:
        yield cluster
    finally:
        cluster.close()


def workers_of(cluster: Machines) -> list[psutil.Process]:
    """Processes that make a shard."""
    raylets = {node.ray.address_info["raylet_socket_name"] for node in cluster.nodes}
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if line.startswith("ray::run_shard"):
            with suppress(psutil.Error):
                parent = process.parent()
                if parent and any(name in " ".join(parent.cmdline()) for name in raylets):
                    found.append(process)
    return found


def chosen(dice: random.Random) -> str:
    """What is done next."""
    return dice.choices(["worker", "command", "node", "storage", "disk"], [88, 5, 2, 3, 2])[0]


class Chaos:
    """One run, and what is done to it."""

    def __init__(self, cluster: Machines, start: list[str], out: Path) -> None:
        self.cluster, self._start = cluster, start
        self._shards = out.with_name(f"{out.name}.shards")
        self._process: subprocess.Popen[bytes] | None = None
        self.done: Counter[str] = Counter()
        self.commands = 0

    def ended(self) -> bool:
        """Whether the run came to its end. Where its command was killed, or gave up, the same command goes on."""
        if self._process is not None and self._process.poll() == 0:
            return True
        if self._process is None or self._process.poll() is not None:
            self.commands += 1
            with self._shards.with_name("command.log").open("ab") as log:
                self._process = subprocess.Popen(self._start, stdout=log, stderr=log)
        return False

    def stop(self) -> None:
        """Kill the command, where it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def strike(self, what: str, dice: random.Random) -> None:
        """Kill something, or take it away for a while."""
        if what == "worker":
            found = workers_of(self.cluster)
            if not found:
                return
            dice.choice(found).kill()
        elif what == "command":
            self.stop()
        elif what == "node":
            self.cluster.lose(dice.choice(self.cluster.nodes[1:]))
        elif what == "storage":
            away = self._shards.with_name("away")
            self._shards.rename(away)
            time.sleep(AWAY)
            shutil.rmtree(self._shards, ignore_errors=True)  # what was written meanwhile
            away.rename(self._shards)
        else:
            full = [node.disk for node in self.cluster.nodes if node.mounted]
            if not full:
                return
            filler = dice.choice(full) / "filler"
            with suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(1 << 20))
            time.sleep(AWAY)
            filler.unlink()
        self.done[what] += 1


Plan = Callable[[Chaos], None]
"""What is done to a run, until its end."""


def at_random(kills: int, pause: float, seed: int = 0) -> Plan:
    """Strikes about `pause` seconds apart while workers run, until so many kills were made.

    Raises AssertionError where the run has no end.
    """

    def plan(run: Chaos) -> None:
        deadline, dice = time.monotonic() + LIMIT, random.Random(seed)
        while not run.ended():
            assert time.monotonic() < deadline, f"no end after {LIMIT:.0f} seconds: {dict(run.done)}"
            time.sleep(dice.uniform(0.2, 2 * pause))
            if sum(run.done[name] for name in ("worker", "command", "node")) < kills and workers_of(run.cluster):
                run.strike(chosen(dice), dice)

    return plan


def chaos(
    folder: Path, constitution: Path, plan: Plan, prompts: int, shards: int, workers: Sequence[int] = WORKERS,
    latency: float = 0.1, more: Sequence[str] = (),
) -> Counter[str]:  # fmt: skip
    """A run to which things are done, compared with one that is left alone; returns what was done to it."""
    rows = write_prompts(folder / "p.jsonl", prompts)
    both = [*settings({"plan.rounds": 0, "plan.controls": 4, "prompts_in_flight": 16}), *more]
    alone = replay(constitution, rows, folder / "one", *both)
    out = folder / "ray"
    with machines(folder, workers, mount=True) as cluster:
        own = settings({"cluster.attempts": 30, "cluster.checkpoint_seconds": 5, "replay_latency": latency})
        given = ["--engine", "replay", "--ray", cluster.address, "--shards", str(shards), *both, *own]
        run = Chaos(cluster, command(constitution, rows, out, *given), out)
        try:
            plan(run)
        finally:
            run.stop()
    merged = whole(out)
    data = [{name: sha for name, sha in one.files.items() if name.endswith(".parquet")} for one in (alone, merged)]
    lost = alone.counts.prompts - merged.counts.prompts
    doubled = merged.calls.made - alone.calls.made
    print(f"{dict(run.done)}, {run.commands} commands, {merged.merged} shards", flush=True)
    differing = sorted(name for name, sha in data[0].items() if data[1].get(name) != sha)
    print(f"lost {lost}, doubled {doubled}, files that differ: {', '.join(differing) or 'none'}", flush=True)
    print(f"failed: {dict(merged.failed) or 'none'}", flush=True)
    assert (lost, doubled, differing, alone.counts) == (0, 0, [], merged.counts)
    return run.done


def efficiency(folder: Path, prompts: int, latency: float) -> None:
    """Stored calls a second over 1, 2, 4 and 8 workers, each of which could make as many alone."""
    constitution = write_constitution(folder / "c.yaml", 2)
    plan = [*settings({"plan.rounds": 0, "plan.controls": 0, "prompts_in_flight": 8, "replay_latency": latency})]
    first = 0.0
    for workers in (1, 2, 4, 8):
        place = folder / str(workers)
        place.mkdir()
        rows = write_prompts(place / "p.jsonl", prompts * workers)
        with machines(place, [workers]) as cluster:
            given = ["--engine", "replay", "--ray", cluster.address, "--shards", str(workers), *plan]
            process = subprocess.Popen(command(constitution, rows, place / "run", *given), stderr=subprocess.DEVNULL)
            rate = _rate(cluster, process, prompts * workers)
            process.wait()
        first = first or rate
        show(f"calls a second over {workers} workers", rate, "calls/s", "none")
        show(f"efficiency over {workers} workers", rate / (workers * first), "", ">= 0.95")


def _rate(cluster: Machines, process: subprocess.Popen[bytes], prompts: int) -> float:
    """Calls a second in the middle half of the run. A prompt has 6 calls: 2 samples, and 2 principles in both orders."""
    seen: list[tuple[float, int]] = []
    over = False  # then shards are handed over, and their calls are on no disk any more
    while process.poll() is None:
        made = cluster.calls()
        over = over or made > 4.5 * prompts
        if made >= 1.5 * prompts and not over:
            seen.append((time.monotonic(), made))
        time.sleep(0.5)
    (begin, first), (end, last) = seen[0], seen[-1]
    return (last - first) / (end - begin)


def vllm(folder: Path, kills: int = 3) -> None:
    """Two vLLM engines of the embedded model, one killed three times."""
    constitution, rows = write_constitution(folder / "c.yaml", 2), write_prompts(folder / "p.jsonl", 24)
    plan = {"plan.rounds": 0, "plan.controls": 0, "plan.sample.max_tokens": 48, "plan.keep_truncated": True}
    own = {"vllm.max_model_len": 2048, "vllm.kv_cache_gb": 1, "cluster.checkpoint_seconds": 5, "cluster.num_cpus": 1}
    out = folder / "ray"
    with machines(folder, [1, 1]) as cluster:
        given = ["--engine", "vllm", "--ray", cluster.address, "--shards", "4", *settings(plan | own)]
        process = subprocess.Popen(command(constitution, rows, out, *given))
        done, before = 0, 0
        while process.poll() is None:
            time.sleep(1)
            made = cluster.calls()
            if done < kills and made > before + 5 and (found := workers_of(cluster)):
                engines = [
                    child for child in found[0].children(recursive=True) if "EngineCore" in " ".join(child.cmdline())
                ]
                (engines or found)[0].kill()
                done, before = done + 1, made
        assert process.returncode == 0, process.returncode
    merged = whole(out)
    print(f"{merged.counts.pairs} pairs of {merged.counts.prompts} prompts")
    show("SIGKILLs of one of two vLLM engines", done, "kills", str(kills))
    show("prompts lost or failed after them", 24 - merged.counts.prompts + merged.outcomes.failed, "prompts", "0")
    assert (merged.counts.prompts, merged.outcomes.failed) == (24, 0)


def main() -> int:
    """Kill, go on, compare; or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=2000, help="of the run, or for each worker with --efficiency")
    parser.add_argument("--shards", type=int, default=32)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between two kills, on average")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of a call, with --efficiency")
    parser.add_argument("--efficiency", action="store_true")
    parser.add_argument("--vllm", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.efficiency:
            efficiency(Path(name), options.prompts, options.latency)
        elif options.vllm:
            vllm(Path(name))
        else:
            constitution = write_constitution(Path(name) / "c.yaml", 2)
            plan = at_random(options.kills, options.pause)
            done = chaos(Path(name), constitution, plan, options.prompts, options.shards)
            kills = sum(done[kind] for kind in ("worker", "command", "node"))
            show("SIGKILLs of workers, commands and nodes of a run on Ray", kills, "kills", ">= 200")
            show("prompts lost, calls doubled and files that differ after them", 0, "", "0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
