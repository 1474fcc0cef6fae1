"""Calls committed to disk a second, with what they asked: many to a commit, against one to a commit; and calls read a second.

python -m benchmarks.store
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, show
from constitution.records import Message
from generation.calls.store import CallStore
from generation.engines.base import Completion, Request, Sampling, Subject, Usage

RECORD = Completion("word " * 600, "stop", {"A": -0.5, "B": -1.5}, Usage(900, 600, 600))
"""About 3 KB on disk."""
WORDS = (ROOT / "README.md").read_text(encoding="utf-8").split()
MANY = 20_000
FEW = 500


PRINCIPLES = 8
"""Calls about a pair in one order, which share the beginning of their prompts."""


def key_of(number: int) -> bytes:
    """A key as real ones are: spread over the whole table."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


def request(number: int) -> Request:
    """A judge's question about a pair of responses of some 120 words each, in English."""
    pair, principle = divmod(number, PRINCIPLES)
    dice = random.Random(pair)
    prompt, a, b = (" ".join(dice.choices(WORDS, k=count)) for count in (20, 120, 120))
    head = f"Here are a conversation and two replies.\n\n<c>\n{prompt}\n</c>\n\n<a>\n{a}\n</a>\n\n<b>\n{b}\n</b>\n\n"
    text = f"{head}Which reply keeps rule {principle} of the house better?\nAnswer with one letter: A or B."
    subject = Subject(f"prompt-{pair}", (f"prompt-{pair}/s0", f"prompt-{pair}/s1"), f"judge/compare/rule-{principle}")
    return Request("model", "compare", (), Sampling(1), messages=(Message(role="user", content=text),), subject=subject)


def main() -> None:
    """Write both ways, then read."""
    keys = [key_of(i) for i in range(MANY)]
    requests = [request(i) for i in range(MANY)]
    with tempfile.TemporaryDirectory() as name:
        store = CallStore(Path(name) / "many.sqlite")
        begin = time.perf_counter()
        for key, asked in zip(keys, requests, strict=True):
            store.put(key, asked, RECORD)
        store.flush()
        many = MANY / (time.perf_counter() - begin)
        begin = time.perf_counter()
        assert all(store.get(key) == RECORD for key in keys)
        reads = MANY / (time.perf_counter() - begin)
        store.close()

        single = CallStore(Path(name) / "single.sqlite", window=1)
        begin = time.perf_counter()
        for key, asked in zip(keys[:FEW], requests, strict=False):
            single.put(key, asked, RECORD)
            single.flush()
        one = FEW / (time.perf_counter() - begin)
        single.close()
    show("one call to a commit", one, "calls/s", "none")
    show("calls committed a second", many, "calls/s", ">= 5,000")
    show("256 to a commit over one", many / one, "times", "none")
    show("calls read back", reads, "calls/s", "none")


if __name__ == "__main__":
    main()
