"""What labelled pairs teach a small model: a reward model's held-out accuracy, DPO's margins, its wins by that reward model.

    python -m benchmarks.training_quality --data PAIRS --out FOLDER [--model embedded] [--reward KEY=VALUE] [--dpo KEY=VALUE]

A fifth of the prompts, chosen by a hash, is held out. The win rate compares one response of the trained policy with one of its base
to each held-out prompt, sampled at temperature 1 with the same seeds; ties count half. Intervals are Wilson's, 95%.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.common import show
from evaluation.statistics import share
from generation import settings as reading
from generation.engines.base import Engine, Request, Sampling
from generation.engines.checkpoint import ModelFiles
from generation.engines.reward import REWARD
from generation.engines.reward import Reward as RewardEngine
from generation.engines.transformers import Transformers, TransformersSettings
from generation.engines.vllm import VLLM, VLLMSettings
from generation.models.chat_model import ONE_TOKEN
from generation.models.files import resolve
from generation.roles import default_engine
from training.data import rows
from training.data.batches import Example
from training.recipes.config import DPO, Reward
from training.run import fit, job

HELD_OUT = 0.2
MOST_TOKENS = 96
"""Of a sampled response."""
BATCH = 72
"""Responses written at once, without vLLM."""


def main() -> None:
    """Train both, or go on from what is there; print the figures."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--model", default="embedded")
    p.add_argument("--reward", action="append", default=[], metavar="KEY=VALUE")
    p.add_argument("--dpo", action="append", default=[], metavar="KEY=VALUE")
    options = p.parse_args()
    os.environ["SOLON_CACHE"] = str(options.out / "cache")  # where no reference is known
    resolve(options.model)  # converted before the clock starts, where it is the embedded one
    began = time.monotonic()
    common = {"model": options.model, "data": {options.data: 1.0}, "test_fraction": HELD_OUT, "report_to": []}
    console = Console(soft_wrap=True, highlight=False)
    reward = job.prepare(reading.load(Reward, None, options.reward, common), options.out / "reward")
    fit.run(reward, console)
    held = [row.example for row in reward.test.rows]
    scores = asyncio.run(rewards(resolve(str(options.out / "reward")), held))
    _estimate("reward model: held-out accuracy", [_better(a, b) for a, b in scores], ">= 58%")
    _estimate("always the longer response", [_better(*map(len, e.responses)) for e in held], "baseline")
    half = time.monotonic() - began
    show("reward model: minutes", half / 60, "min", "both under 30")
    policy = job.prepare(reading.load(DPO, None, options.dpo, common), options.out / "dpo")
    result = fit.run(policy, console)["results"]
    show("DPO: held-out accuracy of its margins", 100 * result["eval_accuracy"], "%", "report")
    _estimate("DPO: wins over its base by the reward model", _wins(policy), "report")
    show("both: minutes", (time.monotonic() - began) / 60, "min", "< 30")


async def rewards(files: ModelFiles, examples: Sequence[Example]) -> list[list[float]]:
    """The reward of every response of every example."""
    engine = RewardEngine(files, TransformersSettings(batch_size=16))
    try:
        requests = [
            Request(files.digest, "compare", (*e.prompt, *response), ONE_TOKEN)
            for e in examples
            for response in e.responses
        ]
        answers = iter(await asyncio.gather(*(engine.generate(request) for request in requests)))
        return [[next(answers).logprobs[REWARD] for _ in e.responses] for e in examples]
    finally:
        await engine.close()


async def responses(files: ModelFiles, prompts: Sequence[Sequence[int]], context: int) -> list[str]:
    """One response to each prompt."""
    engine: Engine = (
        VLLM(files, VLLMSettings(max_model_len=context, kv_cache_gb=1))
        if default_engine() == "vllm"
        else Transformers(files, TransformersSettings(batch_size=BATCH))
    )
    try:
        # prompts of like lengths share a batch: little is padded
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        requests = [
            Request(files.digest, "sample", tuple(prompts[i]), Sampling(MOST_TOKENS, 1.0, seed=i)) for i in order
        ]
        answers = await asyncio.gather(*(engine.generate(request) for request in requests))
        return [text for _, text in sorted(zip(order, (answer.text for answer in answers), strict=True))]
    finally:
        await engine.close()


def _wins(policy: job.Job) -> list[float]:
    """1 where the trained policy's response has the higher reward, by prompt."""
    out, encoder = policy.out.parent, policy.encoder
    asked = list({pair.prompt.messages: pair.prompt for pair in rows.pairs(policy.settings).test}.values())
    prompts = [encoder.encode(prompt.messages) for prompt in asked]
    most = policy.settings.max_length
    short = [i for i, prompt in enumerate(prompts) if len(prompt) + MOST_TOKENS < most]
    texts = [
        asyncio.run(responses(files, [prompts[i] for i in short], most))
        for files in (resolve(str(policy.out)), policy.files)
    ]
    pairs = list(zip(*texts, strict=True))
    (out / "responses.json").write_text(
        json.dumps([{"dpo": after, "base": before} for after, before in pairs], indent=1)
    )
    sampled = [
        Example(prompts[i], [(*encoder.response(asked[i].messages, text)[1], encoder.end_of_turn) for text in pair])
        for i, pair in zip(short, pairs, strict=True)
    ]
    return [_better(a, b) for a, b in asyncio.run(rewards(resolve(str(out / "reward")), sampled))]


def _better(a: float, b: float) -> float:
    return (a > b) + 0.5 * (a == b)


def _estimate(name: str, right: Sequence[float], target: str) -> None:
    found = share(sum(right), len(right))
    show(f"{name} (n = {len(right)}; {found.low:.1%} to {found.high:.1%})", 100 * found.value, "%", target)


if __name__ == "__main__":
    main()
