"""One judge asked in every form that a server may allow: agreement with exact log-probabilities, and what each form costs.

    python -m benchmarks.judging_forms --data LABELLED.jsonl --constitution hhh --limit 20 [--principles 4]

The forms: vLLM in this process; the same model behind a vLLM server, sent token ids; and behind its chat interface with 20, 5, 1
and 0 log-probabilities, the last of which is judged by what the model writes, one principle a call and all of them in one
(`plan.batch_principles`). Pairs, principles and prompts are the same.
Agreement is the share of votes, among those that both forms have and neither calls a tie, with the same sign as in process;
correlation is Pearson's, of the votes' log-odds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import show
from constitution.loading import load
from constitution.principles import Constitution
from constitution.records import Failure, Vote
from evaluation.judge.asking import judge_pairs
from evaluation.judge.labelled import LabelledPair, read_labelled
from generation.config import RunConfig
from generation.models.files import resolve

LISTS = (20, 5, 1, 0)
CONTEXT = 4096
WAIT_SECONDS = 600
NAME = "judge"


class Result(NamedTuple):
    """What one form said."""

    votes: dict[tuple[str, str], Vote]
    """By pair and voter."""
    failures: Counter[str]
    calls: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask in each form, and print every figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging_forms", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="labelled pairs")
    parser.add_argument("--constitution", default="hhh")
    parser.add_argument("--judge", default="embedded", help="the model")
    parser.add_argument("--limit", type=int, default=20, help="pairs")
    parser.add_argument(
        "--principles", type=int, help="the first so many that a judge is asked about; all where absent"
    )
    parser.add_argument("--samples", type=int, default=4, help="answers of a judgement that is written")
    parser.add_argument("--out", type=Path, default=Path("runs/judging_forms"), help="folder of the calls")
    options = parser.parse_args(arguments)
    pairs, _ = read_labelled(options.data, options.limit)
    constitution = first_judged(load(options.constitution), options.principles)
    plan = {"verdict_samples": options.samples, "verdict": {"max_tokens": 32, "temperature": 1.0}}

    def ask(form: str, **more: object) -> Result:
        run = RunConfig.model_validate({"policy": options.judge, **more})
        return judged(pairs, constitution, run, options.out / form)

    exact = ask("in process", engine="vllm", vllm={"max_model_len": CONTEXT})
    tell("in process", exact, exact)
    with serving(options.judge, options.out / "server.log") as url:
        server = {"url": url, "model": NAME, "attempts": 2}
        tell("token ids", ask("token ids", endpoints=[{**server, "token_ids": True}]), exact)
        for listed in LISTS:
            form = f"chat, {listed} log-probabilities"
            endpoints = [{**server, "top_logprobs": listed}]
            tell(form, ask(form, endpoints=endpoints, plan=plan), exact)
        form = "chat, 0 log-probabilities, all principles in one call"
        endpoints, several = (
            [{**server, "top_logprobs": 0}],
            {**plan, "batch_principles": min(32, len(constitution.principles))},
        )
        several["verdict"] = {"max_tokens": 32 + 16 * len(constitution.principles), "temperature": 1.0}
        tell(form, ask(form, endpoints=endpoints, plan=several), exact)


def first_judged(constitution: Constitution, count: int | None) -> Constitution:
    """The constitution with the first so many principles that a judge is asked about, and no others."""
    kept = [principle for principle in constitution.principles if principle.judged][:count]
    return constitution.model_copy(update={"principles": tuple(kept)}) if count else constitution


def judged(pairs: Sequence[LabelledPair], constitution: Constitution, run: RunConfig, out: Path) -> Result:
    """The votes of one form."""
    began = time.monotonic()
    answers = asyncio.run(judge_pairs(pairs, constitution, run, out))
    votes = {(r.prompt_id, r.voter): r for r in answers.records if isinstance(r, Vote)}
    failures = Counter(r.reason for r in answers.records if isinstance(r, Failure))
    return Result(votes, failures, answers.calls.made + answers.calls.reused, time.monotonic() - began)


def tell(form: str, found: Result, exact: Result) -> None:
    """The figures of one form beside the exact ones."""
    both = [key for key in found.votes if key in exact.votes]
    a, b = (np.array([result.votes[key].value for key in both]) for result in (found, exact))
    first = np.array([[result.votes[key].logit_ab for key in both] for result in (found, exact)])
    sided = (a != 0) & (b != 0)
    show("votes", len(found.votes), f"of {len(exact.votes)}", "-", form)
    show("votes that are bounds", sum(vote.censored for vote in found.votes.values()), "votes", "-", form)
    show("ties", int((a == 0).sum()), "votes", "-", form)
    show(
        "agreement of labels",
        float((np.sign(a) == np.sign(b))[sided].mean()) if sided.any() else np.nan,
        "share",
        "-",
        form,
    )
    show("correlation of votes", correlation(a, b), "", "-", form)
    show("correlation of log-odds, one order", correlation(*first), "", "-", form)
    show("calls", found.calls, "calls", "-", form)
    show("calls a label", found.calls / max(1, len(found.votes)), "calls", "-", form)
    show("seconds", found.seconds, "s", "-", form)
    for reason, count in found.failures.items():
        show(f"missing: {reason}", count, "votes", "0", form)


def correlation(a: Any, b: Any) -> float:
    """Pearson's; NaN where one of the two does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.std(a) and np.std(b) else float("nan")


@contextmanager
def serving(judge: str, log: Path) -> Iterator[str]:
    """The address of a vLLM server of the model, on loopback. log: file of what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "--host": "127.0.0.1", "--port": str(port), "--served-model-name": NAME, "--max-model-len": str(CONTEXT),
        "--max-num-batched-tokens": str(CONTEXT), "--block-size": "32", "--hf-overrides": '{"head_dtype": "float32"}',
    }  # fmt: skip
    flags = ["--enforce-eager", "--no-enable-chunked-prefill", "--enable-scale-out", "--enable-prompt-tokens-details"]
    # what `vllm serve` starts; the command itself is not installed with vLLM for CPUs
    command = [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry", *flags]
    command += ["--model", str(resolve(judge).path)]
    command += [part for option in options.items() for part in option]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "4"}
    with log.open("wb") as printed:
        process = subprocess.Popen(command, env=environment, stdout=printed, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode} before it answered")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(1)
    raise SystemExit(f"the server did not answer in {WAIT_SECONDS} seconds")


if __name__ == "__main__":
    main()
