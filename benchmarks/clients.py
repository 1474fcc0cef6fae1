"""Wall time and CPU of preferences from a server: ours, distilabel, bespokelabs-curator, and a script that one would write oneself.

    python -m benchmarks.clients --distilabel PYTHON --curator PYTHON [--prompts 200] [--rounds 3] [--kill] [--vllm] [--ray]

Each makes the same calls with the same texts: two responses to each prompt, and a judgement of the two in both orders by one token,
with the same number of calls at once. The server is a process of its own; with --vllm it is the embedded model in vLLM. Wall times
are of whole processes, from start to exit, whose modules are compiled: pip does it for the peers', the first round for ours. The
clients of a round follow each other, and a ratio is the median of the rounds'.
With --kill each is killed with SIGKILL once half of its calls are answered, and the same command is run again: its calls are
counted where they arrive. One that fails or hangs then is begun anew, without its cache. What the peers run is in
`benchmarks/peers`. They need environments of their own:

    python -m venv distilabel && distilabel/bin/pip install "distilabel[openai]==1.5.3" requests beautifulsoup4
    python -m venv curator && curator/bin/pip install bespokelabs-curator==0.1.31

and --distilabel and --curator take the `bin/python` of these; what is not given is not measured. --ray has distilabel run on a Ray
of its own as well, which its environment needs then: `pip install "ray[default]"`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import BinaryIO, NamedTuple

from benchmarks.common import ROOT, command, show, write_constitution, write_prompts
from benchmarks.judging_forms import NAME, serving
from benchmarks.loopback import running
from constitution.loading import load
from constitution.records import Message, Prompt, Response
from critics.compare import render

PEERS = ROOT / "benchmarks" / "peers"
OURS, ON_RAY = "solon", "distilabel on Ray"
TARGETS = {
    "distilabel": "<= 0.5",
    ON_RAY: "<= 0.5",
    "curator": "<= 0.5",
    "openai script": "<= 1.1",
    "aiohttp script": "none",
}
LATENCIES = (0.005, 0.05)
PATIENCE = 5
"""Times of a whole run after which a second start hangs."""
Client = Callable[[str, str, Path], list[str]]
"""Address, model and folder -> command line."""


class Work(NamedTuple):
    """What every client is given."""

    constitution: Path
    prompts: Path
    template: Path
    concurrency: int
    calls: int
    """Calls that each has to make."""


class Taken(NamedTuple):
    """What a process took."""

    wall: float
    cpu: float
    """Seconds, with those of the processes that it started."""


def prepare(folder: Path, prompts: int, concurrency: int) -> Work:
    """Prompts, constitution, and the judge's question with PROMPT, FIRST and SECOND where texts stand."""
    constitution = write_constitution(folder / "constitution.yaml", 1)
    (principle,) = load(constitution).principles
    asked = Prompt(id="p", messages=(Message(role="user", content="PROMPT"),))
    first, second = (
        Response(name, "p", Message(role="assistant", content=name), "sampled", name) for name in ("FIRST", "SECOND")
    )
    (message,) = render(asked, first, second, principle)
    template = folder / "judge.txt"
    template.write_text(message.content, encoding="utf-8")
    return Work(constitution, write_prompts(folder / "p.jsonl", prompts), template, concurrency, 4 * prompts)


def clients(work: Work, distilabel: str, curator: str, ray: bool) -> dict[str, Client]:
    """Who is measured. ray: distilabel on Ray too."""

    def ours(url: str, model: str, out: Path) -> list[str]:
        endpoint = f"endpoints=[{{url: '{url}', model: {model}, concurrency: {work.concurrency}}}]"
        sample = "sample: {max_tokens: 48, temperature: 0.8}, keep_truncated: true"
        plan = f"plan={{samples: 2, rounds: 0, principles: 1, controls: 0, {sample}}}"
        more = ["--engine", "endpoint", *(part for text in (endpoint, plan) for part in ("--set", text))]
        return command(work.constitution, work.prompts, out / "run", *more)

    def peer(python: str, script: str, *more: str) -> Client:
        files = [str(work.prompts), str(work.template)]
        return lambda url, model, out: [
            python, str(PEERS / script), url, model, *files, str(out), str(work.concurrency), *more,
        ]  # fmt: skip

    found = {
        OURS: ours,
        "distilabel": peer(distilabel, "distilabel_pipeline.py"),
        ON_RAY: peer(distilabel, "distilabel_pipeline.py", "ray"),
        "curator": peer(curator, "curator_blocks.py"),
        "openai script": peer(sys.executable, "openai_script.py"),
        "aiohttp script": peer(sys.executable, "aiohttp_script.py"),
    }
    given = {"distilabel": distilabel, ON_RAY: ray and distilabel, "curator": curator}
    missing = {name for name, python in given.items() if not python}
    return {name: client for name, client in found.items() if name not in missing}


def timed(arguments: list[str], log: Path) -> Taken:
    """Run it to its end."""
    with log.open("wb") as file:
        begin = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}: {log.read_text(errors='replace')[-3000:]}")
    return Taken(wall, used.ru_utime + used.ru_stime)


def compare(
    found: dict[str, Client], rounds: int, where: str, folder: Path, one: Callable[[Client, Path], Taken]
) -> None:
    """Rounds of all clients after each other, and their figures. one: runs a client in a folder."""
    taken: dict[str, list[Taken]] = {name: [] for name in found}
    loads: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds):
        for name, client in found.items():
            out = folder / f"{where} {turn} {name}"
            out.mkdir()
            taken[name].append(one(client, out))
            loads[name].append(os.getloadavg()[0])
            print(f"{where}: {name} {taken[name][-1].wall:.2f} s, load {loads[name][-1]:.1f}", flush=True)
            shutil.rmtree(out)
    for name, times in taken.items():
        show(f"wall time, {where}", median(each.wall for each in times), "s", "none", name)
        show(f"CPU of the client, {where}", median(each.cpu for each in times), "s", "none", name)
        show(f"load of the machine then, {where}", median(loads[name]), "processes", "none", name)
    for name, target in TARGETS.items():
        if name in taken:
            ratios = [ours.wall / theirs.wall for ours, theirs in zip(taken[OURS], taken[name], strict=True)]
            show(f"our wall time over theirs, {where}", median(ratios), "", target, name)


def answered(url: str) -> int:
    """Calls that a loopback server has answered."""
    with urllib.request.urlopen(f"{url}/calls") as answer:
        return int(answer.read())


def ends(arguments: list[str], log: BinaryIO, seconds: float) -> bool:
    """Run it; False where it fails, or does not end in that time."""
    process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


def kill(name: str, client: Client, work: Work, folder: Path) -> None:
    """Kill it half-way, run it again to its end, and count the calls that were made again."""
    with running(LATENCIES[-1], 1 << 20) as url, (folder / "log").open("wb") as log:
        out = folder / name
        out.mkdir()
        arguments = client(url, "m", out)
        taken = timed(arguments, folder / "log")
        whole = answered(url)
        shutil.rmtree(out)
        out.mkdir()
        process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        while answered(url) < whole + work.calls // 2 and process.poll() is None:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1)
        half = answered(url) - whole
        begin = time.perf_counter()
        if failed := not ends(arguments, log, PATIENCE * taken.wall):
            shutil.rmtree(out)
            out.mkdir()
            timed(arguments, folder / "log")
        second = time.perf_counter() - begin
        again = answered(url) - 2 * whole
        print(f"{name}: killed after {half} of {whole} calls, {again} made again")
        where = f"SIGKILL at half-way, {work.calls:,} calls"
        show(f"calls made again after {where}", 100 * again / whole, "%", "none", name)
        show(f"wall time of a whole run without {where}", taken.wall, "s", "none", name)
        show(f"wall time from the second start to the end after {where}", second, "s", "none", name)
        show(f"second starts that fail or hang after {where}", float(failed), "starts", "none", name)


def on_vllm(found: dict[str, Client], rounds: int, prompts: int, folder: Path) -> None:
    """The same on the embedded model behind vLLM, whose prefix cache is emptied before each."""
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"
    with serving("embedded", folder / "server.log") as url:

        def one(client: Client, out: Path) -> Taken:
            urllib.request.urlopen(urllib.request.Request(f"{url}/reset_prefix_cache", method="POST")).close()
            return timed(client(url, NAME, out), folder / "log")

        compare(found, rounds, f"vLLM on this machine, {4 * prompts} calls", folder, one)


def main() -> None:
    """All clients, on each server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--distilabel", default="", metavar="PYTHON", help="of the environment that has it")
    parser.add_argument("--curator", default="", metavar="PYTHON", help="of the environment that has it")
    parser.add_argument("--prompts", type=int, default=200, help="of a run; four calls each (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=64, help="calls at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each client (default: %(default)s)")
    parser.add_argument("--kill", action="store_true", help="kill them half-way in place of measuring time")
    parser.add_argument("--ray", action="store_true", help="have distilabel run on Ray too")
    parser.add_argument("--vllm", action="store_true", help="ask the embedded model in vLLM")
    options = parser.parse_args()
    paths = {options.distilabel, options.curator} - {""}
    sys.argv = [
        "PYTHON" if part in paths else part for part in sys.argv
    ]  # figures are kept with the command, without paths
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work = prepare(folder, options.prompts, options.concurrency)
        found = clients(work, options.distilabel, options.curator, options.ray)
        if options.kill:
            for name, client in found.items():
                kill(name, client, work, folder)
        elif options.vllm:
            on_vllm(found, options.rounds, options.prompts, folder)
        else:
            for latency in LATENCIES:
                with running(latency, 1 << 20) as url:
                    where = f"{latency * 1000:.0f} ms a call, {work.calls:,} calls"
                    compare(
                        found, options.rounds, where, folder,
                        lambda client, out, url=url: timed(client(url, "m", out), folder / "log"),  # type: ignore[misc]
                    )  # fmt: skip


if __name__ == "__main__":
    main()
