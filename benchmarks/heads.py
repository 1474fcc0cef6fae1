"""What it costs to write and encode a judge's prompts: each whole, and with what all questions about a pair share made once.

python -m benchmarks.heads [--principles 1 4 16] [--model embedded]

No engine: milliseconds of CPU a prompt, in both orders of each pair. The two ways take turns, and their ids must be equal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from benchmarks.common import show
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import compare, templating
from critics.transcript import shared_head
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.models.tokenizer import chat_tokenizer

SENTENCE = "The quick brown fox number {} jumps over the lazy dog, and then it rests under an old tree. "
PAIRS = 40


def pair(i: int) -> tuple[Prompt, Response, Response]:
    """A prompt of 8 sentences and two responses of 10."""
    asked = Message(role="user", content=SENTENCE.format(i) * 8)
    said = [Message(role="assistant", content=SENTENCE.format(i) * n) for n in (10, 11)]
    one, two = (Response(f"{i}-{j}", f"{i}", message, "sampled", "") for j, message in enumerate(said))
    return Prompt(id=f"{i}", messages=(asked,)), one, two


def principles(count: int) -> list[Principle]:
    """Principles whose questions differ."""
    return [
        Principle(id=f"p{i}", objective="good", text=f"Keep rule number {i} of the house, whatever it costs.")
        for i in range(count)
    ]


def whole(encoder: Encoder, asked: Sequence[Principle]) -> tuple[list[list[int]], float]:
    """Ids of all prompts and seconds, each rendered and encoded by itself."""
    found = []
    begin = time.process_time()
    for prompt, one, two in map(pair, range(PAIRS)):
        for principle in asked:
            for order in ((one, two), (two, one)):
                templating.rendered.cache_clear()
                messages = compare.render(prompt, *order, principle)
                found.append(encoder._ids(encoder._render(messages, None, judged=True)))
    return found, time.process_time() - begin


def shared(encoder: Encoder, asked: Sequence[Principle]) -> tuple[list[list[int]], float]:
    """The same as the pipeline does it."""
    found = []
    begin = time.process_time()
    for prompt, one, two in map(pair, range(PAIRS)):
        for principle in asked:
            for order in ((one, two), (two, one)):
                messages = compare.render(prompt, *order, principle)
                found.append(encoder.encode(messages, labels=True, head=shared_head(messages)))
    return found, time.process_time() - begin


def main() -> None:
    """Both ways, by the number of principles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--principles", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    tokenizer = chat_tokenizer(resolve(options.model))
    whole(Encoder(tokenizer), principles(1))
    for count in options.principles:
        before, seconds = whole(Encoder(tokenizer), principles(count))
        after, less = shared(Encoder(tokenizer), principles(count))
        assert before == after, "the ids differ"
        tokens = sum(map(len, before)) / len(before)
        show(
            f"{count} principles, {tokens:.0f} tokens a prompt: each whole",
            seconds / len(before) * 1000,
            "ms/call",
            "none",
        )
        show(
            f"{count} principles, {tokens:.0f} tokens a prompt: heads once", less / len(after) * 1000, "ms/call", "none"
        )
        show(
            f"{count} principles: times less CPU, ids equal in {len(after):,} of {len(before):,}",
            seconds / less,
            "",
            ">= 1.8",
        )


if __name__ == "__main__":
    main()
