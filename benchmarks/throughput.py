"""Tokens per second of the whole pipeline over the raw engine's, given the very same token-id requests all at once.

    python -m benchmarks.throughput [--prompts 200] [--passes 1]

The embedded model in vLLM. The pipeline samples, criticises, revises, compares, stores every call and writes the dataset;
each request it makes is recorded and then given, all together, to vLLM's own asynchronous engine. The prefix cache is emptied
before each pass. Generated and judged tokens are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks.common import show, write_constitution, write_prompts
from constitution.loading import load
from constitution.records import Prompt
from critics.compare import LABELS
from generation.calls.store import CallStore
from generation.calls.stored import Stored
from generation.config import Decoding, Plan
from generation.data.prompts import read
from generation.engines.base import Completion, Engine, Request
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.engines.vllm import VLLM, VLLMSettings, _sampling
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.models.policies import Policy
from generation.output.dataset import DatasetWriter
from generation.output.records import Feedback
from generation.pipeline.feedback import feedback
from generation.pipeline.panel import Judge, Panel
from generation.pipeline.scheduler import run

PLAN = Plan(
    samples=2,
    rounds=1,
    principles=2,
    keep_truncated=True,
    sample=Decoding(max_tokens=48, temperature=0.8),
    critique=Decoding(max_tokens=64),
    revise=Decoding(max_tokens=64),
)


class Recorder:
    """Keeps every request and counts the tokens that came back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.requests: list[Request] = []
        self.tokens = 0

    async def generate(self, request: Request) -> Completion:
        """The engine's answer, counted."""
        self.requests.append(request)
        completion = await self._engine.generate(request)
        self.tokens += completion.usage.completion
        return completion

    async def close(self) -> None:
        """The engine stays open for the next pass."""


async def pipeline(folder: Path, files: ModelFiles, engine: VLLM, prompts: int) -> tuple[Recorder, float]:
    """One whole run on an open engine; returns what it asked and its seconds."""
    constitution = load(write_constitution(folder / "c.yaml", 4))
    source = write_prompts(folder / "p.jsonl", prompts)
    encoder = Encoder(load_tokenizer(files))
    recorder = Recorder(engine)

    async def opened() -> Engine:
        return recorder

    store = CallStore(folder / "calls.sqlite")
    writer = DatasetWriter(folder, constitution, files.name, 0.1, tools=False)
    stored = Stored(store, opened, lambda *_: None)
    labels = {label: encoder.label_id(label) for label in LABELS}
    model = ChatModel(files.name, files.digest, stored, encoder, 2048, labels)
    panel = Panel((Judge(model),))

    async def work(prompt: Prompt) -> Feedback:
        return await feedback(prompt, constitution, [Policy(model)], panel, PLAN)

    begin = time.perf_counter()
    async for outcome in run(read(str(source)), work, 256):
        writer.write(outcome)
    writer.close()
    store.close()
    return recorder, time.perf_counter() - begin


async def raw(engine: VLLM, requests: list[Request]) -> tuple[int, float]:
    """The same requests, all at once, on vLLM's engine itself; returns tokens and seconds."""
    prepared = [({"prompt_token_ids": list(r.tokens)}, _sampling(r), uuid.uuid4().hex) for r in requests]

    async def one(prompt: dict[str, list[int]], sampling: object, name: str) -> int:
        tokens = 0
        async for output in engine._llm.generate(prompt, sampling, name):
            tokens = len(output.outputs[0].token_ids)
        return tokens

    begin = time.perf_counter()
    counts = await asyncio.gather(*(one(*item) for item in prepared))
    return sum(counts), time.perf_counter() - begin


async def measure(prompts: int, passes: int) -> None:
    """Pipeline and raw engine, in turn."""
    files = resolve("embedded")
    engine = VLLM(files, VLLMSettings(max_model_len=2048))
    ratios = []
    try:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "warm").mkdir()
            await pipeline(Path(name) / "warm", files, engine, 8)
            for i in range(passes):
                folder = Path(name) / f"pass-{i}"
                folder.mkdir()
                await engine.reset_prefix_cache()
                recorder, ours = await pipeline(folder, files, engine, prompts)
                await engine.reset_prefix_cache()
                tokens, theirs = await raw(engine, recorder.requests)
                show(
                    f"pipeline, {prompts} prompts, {len(recorder.requests):,} calls",
                    recorder.tokens / ours,
                    "tokens/s",
                    "none",
                )
                show("raw vLLM, the same requests at once", tokens / theirs, "tokens/s", "none")
                ratios.append((recorder.tokens / ours) / (tokens / theirs))
        show("tokens/s of the pipeline over the raw engine, same requests", sum(ratios) / len(ratios), "", ">= 0.95")
    finally:
        await engine.close()


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--passes", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(measure(options.prompts, options.passes))


if __name__ == "__main__":
    main()
