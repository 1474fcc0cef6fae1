"""What a call costs in CPU that the store has: of rows that were not finished when a run was killed, with and without a tokenizer.

python -m benchmarks.restart [--prompts 100] [--model embedded]

Every prompt is sampled, criticised, revised and compared on the replay engine; then all of it again from the store alone, by a
store, an encoder and models that are new. (A finished row is taken as it is, and makes no calls at all.)
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.common import show, write_constitution, write_prompts
from constitution.loading import load
from constitution.records import Prompt
from critics import templating
from critics.compare import LABELS
from generation.calls.store import CallStore
from generation.calls.stored import Stored
from generation.config import Plan
from generation.data.prompts import read
from generation.engines.base import Engine
from generation.engines.checkpoint import ModelFiles
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.models.policies import Policy
from generation.models.tokenizer import ChatTokenizer, chat_tokenizer
from generation.pipeline.feedback import feedback
from generation.pipeline.panel import Judge, Panel

PRINCIPLES = 4
RESTARTS = 5
"""Of which the least CPU counts: other programs on the machine can only add to it."""


async def once(folder: Path, files: ModelFiles, tokenizer: ChatTokenizer | None) -> tuple[int, int, float]:
    """All prompts; (calls made, calls that the store had, seconds of CPU)."""
    constitution, counts = load(folder / "c.yaml"), [0, 0]
    templating.rendered.cache_clear()
    encoder = Encoder(tokenizer) if tokenizer else None

    async def opened() -> Engine:
        return Replay.pseudo()

    def observe(_: object, __: object, reused: bool, ___: float) -> None:
        counts[reused] += 1

    store = CallStore(folder / "calls.sqlite")
    stored = Stored(store, opened, observe)
    labels = {label: encoder.label_id(label) for label in LABELS} if encoder else {}
    model = ChatModel(files.name, files.digest, stored, encoder, 8192 if encoder else 0, labels)
    panel = Panel((Judge(model),))
    prompts = [one for one in read(str(folder / "p.jsonl")) if isinstance(one, Prompt)]
    begin = time.process_time()
    for i in range(0, len(prompts), 64):
        await asyncio.gather(
            *(feedback(one, constitution, [Policy(model)], panel, Plan()) for one in prompts[i : i + 64])
        )
    spent = time.process_time() - begin
    await stored.drain()
    store.close()
    return counts[0], counts[1], spent


def main() -> None:
    """With the model's tokenizer, then as for a server of messages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    files = resolve(options.model)
    for what, tokenizer in (("with a tokenizer", chat_tokenizer(files)), ("as messages", None)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_constitution(folder / "c.yaml", PRINCIPLES)
            write_prompts(folder / "p.jsonl", options.prompts)
            made, _, first = asyncio.run(once(folder, files, tokenizer))
            restarts = [asyncio.run(once(folder, files, tokenizer)) for _ in range(RESTARTS)]
            assert not any(again for again, _, _ in restarts), "calls were made again"
            least = min(spent / reused for _, reused, spent in restarts)
            show(f"CPU of a call {what} that is made, on the replay engine", first / made * 1000, "ms", "none")
            show(f"CPU of a call {what} that the store has, on a restart", least * 1000, "ms", "<= 0.3")


if __name__ == "__main__":
    main()
