"""Servers that misbehave in every way known: does a run get the right labels, or none and say why?

    python -m benchmarks.border [--kinds NAME...] [--prompts 6] [--mixed 1000]

Each kind of `border_kinds` at every call, over prompts with two given responses, one of which is better, and prompts that are
sampled. Of a kind comes one of

- right: exit code 0, and every pair has the better response as chosen, its text whole and clean;
- failure: exit code 1 or 2, a message that names the trouble, and no pair that is wrong;
- wrong: a pair that is turned round or holds text that no response is, or exit code 0 with nothing made;
- crash: a traceback; endless: no end within --seconds.

Then kinds that pass, mixed by chance at 30 of 100 calls over --mixed prompts, the command repeated until it is done; its pairs
must be those of a run without trouble.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import generate_feedback
import solon.produce  # noqa: F401  the command imports it when it starts; each child would again
from benchmarks.border_forms import FORMS
from benchmarks.border_http import HTTP
from benchmarks.border_kinds import KINDS
from benchmarks.border_server import running
from benchmarks.common import show
from generation.output import manifest
from generation.output.reading import read_failures, read_pairs, split_files

CLEAN = re.compile("(\x1b\\[2J)?(GOOD|BAD): the answer is \\w+\\.[\ufffd\xe9]?")
"""A response as the server wrote it: half characters are replaced by U+FFFD, and what would control a terminal is text."""
LAWS = """
name: border
version: 1
objectives: {good: 1.0}
principles: [{id: good, objective: good, text: Be good., compare: "Which reply is good?"}]
"""


def write_inputs(folder: Path, given: int, sampled: int) -> None:
    """A constitution, and prompts of two kinds."""
    rows: list[dict[str, Any]] = [
        {"prompt": f"Pick number {i}.", "responses": [f"BAD: the answer is n{i}.", f"GOOD: the answer is n{i}."]}
        for i in range(given)
    ]
    rows += [{"prompt": f"Say a number after {i}."} for i in range(sampled)]
    (folder / "laws.yaml").write_text(LAWS, encoding="utf-8")
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_settings(path: Path, url: str, model: str, attempts: int = 3) -> Path:
    """Settings of a run at this server, which wait little."""
    server = {
        "url": url,
        "model": model,
        "attempts": attempts,
        "concurrency": 16,
        "timeout_seconds": 1,
        "deadline_seconds": 2,
    }
    server |= {"backoff_seconds": 0.01, "max_wait_seconds": 0.05}
    plan = {"samples": 4, "rounds": 0, "controls": 0, "sample": {"max_tokens": 32, "temperature": 1.0}}
    path.write_text(
        json.dumps({"engine": "endpoint", "policy": model, "endpoints": [server], "plan": plan}), encoding="utf-8"
    )
    return path


def start(folder: Path, settings: Path, out: Path) -> list[str]:
    """Arguments of the command."""
    files = {"constitution": folder / "laws.yaml", "prompts": folder / "prompts.jsonl", "config": settings, "out": out}
    return [word for name, path in files.items() for word in (f"--{name}", str(path))]


def in_child(arguments: list[str], log: Path, seconds: float) -> int | None:
    """Exit code of the command in a process of its own; None where it did not end in time."""

    def run() -> None:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            sys.exit(generate_feedback.main(arguments))

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(seconds)
    if child.is_alive():
        child.kill()
        child.join()
        return None
    return child.exitcode


def outcome(code: int | None, log: str, out: Path) -> tuple[str, str]:
    """(right, failure, wrong, crash or endless; what is to be said of it)."""
    if code is None:
        return "endless", ""
    if "Traceback" in log or code not in (0, 1, 2):
        return "crash", log[-300:]
    pairs = [
        pair for split, path in split_files(out, "preferences") if path.is_file() for pair in read_pairs(path, split)
    ]
    for pair in pairs:
        texts = (pair.chosen.content, pair.rejected.content)
        if not all(CLEAN.fullmatch(text) for text in texts) or "GOOD" not in texts[0]:
            return "wrong", f"exit {code}: chosen {texts[0]!r}, rejected {texts[1]!r}"
    if code == 0:
        return ("right", f"{len(pairs)} pairs") if pairs else ("wrong", "exit 0 and no pair")
    said = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    return ("failure", said) if said else ("wrong", f"exit {code} and no word")


def each_kind(folder: Path, url: str, names: list[str], seconds: float) -> Counter[str]:
    """Every kind at every call."""
    tally: Counter[str] = Counter()
    for name in names:
        settings, log = write_settings(folder / f"{name}.yaml", url, name), folder / f"{name}.log"
        began = time.monotonic()
        code = in_child(start(folder, settings, folder / name), log, seconds)
        found, said = outcome(code, log.read_text(errors="replace"), folder / name)
        tally[found] += 1
        print(f"{name:28} {found:8} {time.monotonic() - began:5.1f} s  {' '.join(said.split())[:150]}", flush=True)
    return tally


def labels(out: Path) -> dict[tuple[str, str], float]:
    """Chosen and rejected -> probability."""
    return {
        (pair.chosen_id, pair.rejected_id): pair.p_chosen
        for split, path in split_files(out, "preferences")
        for pair in (read_pairs(path, split) if path.is_file() else ())
    }


def mixed(folder: Path, url: str, prompts: int, seconds: float) -> tuple[int, bool]:
    """(starts until it was done, whether its pairs are those of a run without trouble)."""
    write_inputs(folder, prompts // 2, prompts - prompts // 2)
    settings = write_settings(folder / "mixed.yaml", url, "mixed-30", attempts=4)
    starts, took = 0, {"mixed": -time.monotonic()}
    for starts in range(1, 30):
        if starts == 20:
            urllib.request.urlopen(f"{url}/well").close()
        code = in_child(start(folder, settings, folder / "mixed"), folder / "mixed.log", seconds)
        last = (folder / "mixed.log").read_text(errors="replace").strip().splitlines()
        print(f"start {starts}: exit code {code}  {last[-1][:150] if last else ''}", flush=True)
        if code in (0, None):
            break
    took["mixed"] += time.monotonic()
    urllib.request.urlopen(f"{url}/well").close()
    took["whole"] = -time.monotonic()
    in_child(start(folder, settings, folder / "whole"), folder / "whole.log", seconds)
    took["whole"] += time.monotonic()
    _account(folder, prompts, took)
    bad = Counter(f"{f.stage}: {f.reason}" for f in read_failures(folder / "mixed" / "failures.parquet"))
    print(f"failures and what was left out: {dict(bad.most_common(8))}")
    return starts, bool(labels(folder / "whole")) and labels(folder / "mixed") == labels(folder / "whole")


def _account(folder: Path, prompts: int, took: dict[str, float]) -> None:
    """Rows that are accounted for, calls that are counted twice, and the pace with trouble and without."""
    found = {name: manifest.read(folder / name) for name in took}
    mixed, whole = found["mixed"], found["whole"]
    if mixed is None or whole is None:
        print("a run did not end")
        return
    show("prompts that are accounted for", sum(mixed.outcomes.model_dump().values()), "prompts", str(prompts))
    show("calls made", mixed.calls.made, "calls", "report")
    show("calls counted beside those of a run without trouble", mixed.calls.made - whole.calls.made, "calls", "0")
    show("calls a second", mixed.calls.made / took["mixed"], "calls/s", "none", "trouble at 30 of 100 calls")
    show("calls a second", whole.calls.made / took["whole"], "calls/s", "none", "no trouble")


def main() -> int:
    """Run it; exit code 1 where a label is wrong, or something crashed or did not end."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--kinds", nargs="*", help="only these; all where absent, none where empty")
    p.add_argument("--prompts", type=int, default=6, help="of each of the two sorts (default: %(default)s)")
    p.add_argument("--mixed", type=int, default=1000, help="prompts of the run with all mixed; 0 leaves it out")
    p.add_argument("--seconds", type=float, default=60, help="after which a run is endless (default: %(default)s)")
    options = p.parse_args()
    names = options.kinds if options.kinds is not None else [*(kind.name for kind in KINDS), *HTTP, *FORMS]
    with tempfile.TemporaryDirectory() as place, running() as url:
        folder = Path(place)
        write_inputs(folder, options.prompts, options.prompts)
        tally = each_kind(folder, url, names, options.seconds)
        for found in ("right", "failure", "wrong", "crash", "endless") if names else ():
            show(f"server behaviours of {len(names)}: {found}", tally[found], "", "0" if found in BAD else "")
        if options.mixed:
            starts, equal = mixed(folder, url, options.mixed, 60 * options.seconds)
            show("trouble at 30 of 100 calls: starts until it is done", starts, "starts", "report")
            show("runs whose pairs are not those of one without trouble", float(not equal), "runs", "0")
            tally["wrong"] += not equal
    return 1 if any(tally[found] for found in BAD) else 0


BAD = ("wrong", "crash", "endless")

if __name__ == "__main__":
    sys.exit(main())
