"""What decides a label besides what is said: length, refusal, a text that breaks off, one text in many rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from critics.text.refusal import is_refusal
from evaluation.verify.finding import Finding, above, graded
from evaluation.verify.scan import (
    CUT_CHOSEN,
    CUT_REJECTED,
    ECHO_CHOSEN,
    ECHO_REJECTED,
    EMPTY,
    FAILED,
    SAME,
    Scan,
)  # fmt: skip

READ = 3_000
"""Pairs of the sample whose responses are read for refusals and broken ends."""
DECIDES = 0.95
STRONG = 0.85
"""Shares of longer or of shorter responses among the chosen from which length alone decides, or nearly does."""
_ENDED = re.compile(r"""[.!?:;…。！？)\]}>"'”’`*_|~=\-–—/\\]\s*$|[^\w\s,]\s*$""")
_SENTENCES = re.compile(r"[.!?。！？][\"'”)]?\s")
_LONG = 80
"""Characters below which a text may well end without a full stop."""
ONE_SIDED, AT_LEAST = 0.9, 0.75
"""Share of one side among the pairs in which only one response has something, from which it tells the label; and what that
share must be beyond noise."""


def find(scan: Scan) -> Iterator[Finding]:
    """length_decides, refusal_decides, one_side_truncated, empty, identical, failed and repeated responses."""
    yield from _length(scan)
    yield from _one_size(scan)
    yield from _broken(scan)
    yield from _repeated(scan)
    refuses = _one_sided(scan, is_refusal)
    yield from _tells(
        scan,
        "refusal_decides",
        *refuses,
        0.1,
        "refuses",
        "a refusal",
        "add pairs in which the refusal is the worse one, or neither refuses",
    )
    echoes = _marked(scan, ECHO_CHOSEN, ECHO_REJECTED)
    yield from _tells(scan, "prompt_in_one_side", *echoes, 0.05, "begins with the prompt", "the prompt", "cut it off")
    fix = "raise the limit of tokens, or leave out pairs of which one response is cut off"
    if (scan.has(CUT_CHOSEN) | scan.has(CUT_REJECTED)).any():
        yield from _tells(
            scan,
            "one_side_truncated",
            *_marked(scan, CUT_CHOSEN, CUT_REJECTED),
            0.05,
            "is cut off",
            "being cut off",
            fix,
        )
    else:
        yield from _tells(
            scan,
            "one_side_truncated",
            *_one_sided(scan, breaks_off),
            0.05,
            "breaks off in a sentence",
            "breaking off",
            fix,
        )


def _length(scan: Scan) -> Iterator[Finding]:
    chosen, rejected = scan.numbers.of("chosen_size"), scan.numbers.of("rejected_size")
    n, longer = int((chosen != rejected).sum()), int((chosen > rejected).sum())
    for word, hits in (("longer", longer), ("shorter", n - longer)):
        if above(hits, n, STRONG):
            decides = above(hits, n, DECIDES)
            what = f"the {word} response is chosen in {hits / n:.1%} of the pairs: " + (
                "length alone decides" if decides else "a model that is trained on them learns length first"
            )
            fix = "judge again with a judge that is told to ignore length, and in both orders, or balance the pairs by length"
            yield Finding("length_decides", "error" if decides else "warning", hits, n, what, fix)


def _one_size(scan: Scan) -> Iterator[Finding]:
    """Many texts of the very same greatest length were cut there."""
    for word in ("chosen", "rejected"):
        sizes = scan.numbers.of(f"{word}_size")
        longest = int(sizes.max())
        hits, n = int((sizes == longest).sum()), len(sizes)
        if longest >= _LONG and above(hits, n, 0.01):
            what = f"{word} responses have {longest:,} characters, the most that any has, to the letter: they were cut there"
            yield Finding("cut_at_length", "error", hits, n, what, "write them whole", scan.places(sizes == longest))


def _broken(scan: Scan) -> Iterator[Finding]:
    n = scan.pairs
    for name, which, what, fix in (
        ("empty_responses", scan.has(EMPTY), "a response is empty", "leave them out"),
        ("identical_responses", scan.has(SAME), "chosen and rejected are the same text", "leave them out"),
        ("failed_responses", scan.has(FAILED), "a response is an error's message", "ask again"),
    ):  # fmt: skip
        if hits := int(which.sum()):
            yield Finding(name, graded("error", hits, n), hits, n, what, fix, scan.places(which))


def _repeated(scan: Scan) -> Iterator[Finding]:
    """One text as the response to many different prompts."""
    prompts = scan.numbers.of("prompt")
    for word in ("chosen", "rejected"):
        texts, sizes = scan.numbers.of(word), scan.numbers.of(f"{word}_size")
        values, counts = np.unique(texts, return_counts=True)
        top = int(counts.argmax())
        which = texts == values[top]
        if sizes[which][0] == 0 or sizes[which][0] < 8:
            continue
        hits = len(np.unique(prompts[which])) if prompts.any() else int(counts[top])
        if hits >= 5 and (grade := graded("error", hits, scan.pairs, 0.01)) != "note":
            other = scan.numbers.of("rejected" if word == "chosen" else "chosen")
            alone = int((other == values[top]).sum()) < hits / 10
            what = f"one and the same text is the {word} response to {hits:,} prompts"
            fix = "find out what wrote it; where it stands for a failure, leave the rows out"
            yield Finding(
                "repeated_response", grade if alone else "warning", hits, scan.pairs, what, fix, scan.places(which)
            )


def _marked(scan: Scan, one: int, other: int) -> tuple[int, int, int, tuple[str, ...]]:
    """As `_one_sided`, of what is marked in all pairs."""
    chosen, rejected = scan.has(one), scan.has(other)
    return int((chosen ^ rejected).sum()), int((chosen & ~rejected).sum()), scan.pairs, scan.places(chosen ^ rejected)


def _one_sided(scan: Scan, has: Callable[[str], bool]) -> tuple[int, int, int, tuple[str, ...]]:
    """(pairs of which one response has it, those where the chosen one does, all, some of them), in the sample."""
    sample = scan.sample[:READ]
    seen = [(has(pair.chosen), has(pair.rejected), pair) for pair in sample]
    found = [(chosen, pair) for chosen, rejected, pair in seen if chosen != rejected]
    places = tuple(scan.place(pair.split, pair.number) for _, pair in found[:3])
    return len(found), sum(chosen for chosen, _ in found), len(sample), places


def _tells(
    scan: Scan,
    name: str,
    alone: int,
    chosen: int,
    n: int,
    places: tuple[str, ...],
    share: float,
    does: str,
    it: str,
    fix: str,
) -> Iterator[Finding]:
    """What only one response has, where that tells the label. share: of pairs, from which it matters."""
    for word, hits in (("chosen", chosen), ("rejected", alone - chosen)):
        if above(alone, n, share) and hits >= ONE_SIDED * alone and above(hits, alone, AT_LEAST):
            most = above(alone, n, 0.8)
            side = f"the {word} one in {hits / alone:.1%} of these"
            what = f"only one response {does} in {alone / n:.1%} of the pairs, and it is {side}: {it} tells the label"
            yield Finding(name, "error" if most or "truncated" in name else "warning", alone, n, what, fix, places)


def breaks_off(text: str) -> bool:
    """Whether a text of whole sentences ends within one."""
    text = text.rstrip()
    return len(text) >= _LONG and not _ENDED.search(text[-8:]) and bool(_SENTENCES.search(text))
