"""What principles cost: 16 against 1 on the same pairs, and principles after the responses against before them.

    python -m benchmarks.principles [--pairs 20]

The embedded model in vLLM, both orders, one-token verdicts. The prefix cache is emptied before each measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.common import show, write_constitution
from constitution.loading import load
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import compare
from critics.compare import LABELS
from generation.engines.base import Request
from generation.engines.checkpoint import load_tokenizer
from generation.engines.vllm import VLLM, VLLMSettings
from generation.models.chat_model import ONE_TOKEN
from generation.models.encoder import Encoder
from generation.models.files import resolve

Pair = tuple[Prompt, Response, Response]


def pairs(count: int) -> list[Pair]:
    """Prompts with two responses of 60 to 120 words each: the prefix cache keeps whole blocks, so that one length would be luck."""
    made = []
    for i in range(count):
        prompt = Prompt(id=f"p{i}", messages=(Message(role="user", content=f"Tell me about the number {i}."),))
        responses = [
            Response(
                f"p{i}/{side}",
                prompt.id,
                Message(role="assistant", content=f"Number {i}, side {side}: " + words * (6 + i % 7)),
                "given",
                "",
            )
            for side, words in (
                ("a", "it is odd and often seen in rows of shelves. "),
                ("b", "people like to count with it on long walks. "),
            )
        ]
        made.append((prompt, responses[0], responses[1]))
    return made


def requests(
    encoder: Encoder, labels: tuple[int, ...], asked: list[Pair], principles: tuple[Principle, ...], last: bool
) -> list[Request]:
    """Every verdict, in both orders; the principle stands after the responses, or before them."""
    made = []
    for prompt, a, b in asked:
        for principle in principles:
            for first, second in ((a, b), (b, a)):
                (message,) = compare.render(prompt, first, second, principle)
                text = message.content
                if not last:
                    head, tail = (
                        text[: text.index(principle.compare_request)],
                        text[text.index(principle.compare_request) :],
                    )
                    text = f"{tail}\n\n{head}"
                tokens = tuple(encoder.encode([Message(role="user", content=text)]))
                made.append(Request("bench", "compare", tokens, ONE_TOKEN, tuple(zip(LABELS, labels, strict=True))))
    return made


async def timed(engine: VLLM, asked: list[Request]) -> float:
    """Seconds for all of them at once, from an empty prefix cache."""
    await engine.reset_prefix_cache()
    begin = time.perf_counter()
    await asyncio.gather(*(engine.generate(request) for request in asked))
    return time.perf_counter() - begin


async def measure(count: int) -> None:
    """Time the three ways and print the two ratios."""
    files = resolve("embedded")
    encoder = Encoder(load_tokenizer(files))
    labels = tuple(encoder.label_id(label) for label in LABELS)
    with tempfile.TemporaryDirectory() as name:
        principles = load(write_constitution(Path(name) / "c.yaml", 16)).principles
    engine = VLLM(files, VLLMSettings(max_model_len=2048))
    try:
        asked = pairs(count)
        one = requests(encoder, labels, asked, principles[:1], last=True)
        all_last = requests(encoder, labels, asked, principles, last=True)
        all_first = requests(encoder, labels, asked, principles, last=False)
        await timed(engine, one)
        seconds_one, seconds_last = await timed(engine, one), await timed(engine, all_last)
        seconds_first = await timed(engine, all_first)
    finally:
        await engine.close()
    show(f"1 principle, {len(one)} verdicts", seconds_one, "s", "none")
    show(f"16 principles, {len(all_last)} verdicts, principle last", seconds_last, "s", "none")
    show(f"16 principles, {len(all_first)} verdicts, principle first", seconds_first, "s", "none")
    show("time of 16 principles over 1, same pairs, both orders", seconds_last / seconds_one, "times", "<= 3.0")
    show("verdicts/s, principle last over principle first", seconds_first / seconds_last, "times", ">= 2.5")


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=20)
    asyncio.run(measure(parser.parse_args().pairs))


if __name__ == "__main__":
    main()
