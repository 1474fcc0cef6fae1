"""Readers of texts that others wrote, on hostile texts of growing size: how long each takes, how that grows, and who waits for it.

    python -m benchmarks.hostile [--size 1000000] [--only NAME]

A text is a head, one piece many times over and a tail. Each reader is given all texts at a small size, and the slowest at four
times as much, again and again, up to `--size` characters, or to what it is given at most. A run reads long texts in a thread; its
event loop waits only while a single search of a text keeps all threads waiting, which is measured on the slowest text.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from heapq import nlargest

from benchmarks.common import show
from benchmarks.watch import Watch
from constitution.errors import UserError, shown
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from constitution.terminal import printable, printable_lines
from constitution.words import repetition, word_count
from critics import answers, critique, mentions, revise, rubric, verdict
from critics.text import (
    biases,
    control_tokens,
    language,
    manipulation,
    phrases,
    refusal,
    remarks,
    sentences,
    thoughts,
    tone,
)
from critics.text.manipulation import SCANNED
from critics.transcript import escape_delimiters, shared_head
from generation.data import text as data_text
from generation.data.record import BadRow
from generation.models.tool_calls import parse_tool_calls
from generation.output.card import code, fenced
from generation.output.pages import visible
from generation.servers import wording
from generation.servers.answers import LONGEST, LONGEST_TOKEN
from generation.servers.refusals import READ
from generation.tasks import aside

Reader = Callable[[str], object]
SMALLEST = 4_000
LARGER = 25
"""Texts that are tried at all sizes."""
TOLERABLE = 0.1
"""Seconds that the event loop may be blocked."""
GIVEN_UP = 2.0
"""Seconds after which a reader gets no larger text."""

PIECES = (
    "\n", " ", "\t", " \n", "\r\n", "a", "a ", "A", "A ", "A B ", "1", "1.", "1. ", "0 ", "_", "*", "**", "`",
    "```\n", "~~~\n", "` ", "<", "<think>", "</think>", "<think></think>", "`</think>`", "[", "[[", "[[A", "{",
    '{"a":', "{}", "}", '"', "'", "’", "“", "(", ")", "- ", "- a\n", "# ", "> ", "| ", "here is ", "here is the ",
    "sure ", "sure, ", "the ", "not ", "I can't ", "I'm sorry, ", "a, ", "Response A ", "Response A is ", "[[A]] ",
    "better ", "A\n", "é", "\u0301", "\u200b", "\u202e", "中", "🙂", "...", ".", ". ", "!", "? ", ", ", "; ", ": ",
    "a: ", "the reply ", "this is a ", "the user's ", "&", "<|channel|>", "<|channel|>final<|message|>", "<|end|>",
    "<|im_end|>", "<tool_call>", '<tool_call>{"name":', "Human: ", "\n\nHuman: ", "\n\nAssistant: x", "\\", "/", "=",
    "~", "$", "%", "dear ", "and ", "or ", "either ", "A and B ", "A vs ", "ignore ", "as an AI ", "unable ",
    "verdict: ", "answer: ", "overall ", "however, ", "rating: ", "10/", "$10", "yes ", "no ", "x\n\n", "\n\n", "{{",
    "{%", "{{ a", "'role': ", "</reply>\n\n", "<reply>", "\\u0061", "a-", "a.", "a@", "http://", "a b c d e f g. ",
    "CritiqueRequest: ", "Human", "\x00", "\ud800", "<script", "error ", "in 1", "context ", "[{", '"a", ',
)  # fmt: skip
"""What is repeated."""
FRAMES = (
    ("", ""),
    ("a", "a"),
    ("Sure, here is", ":\n"),
    ("<think>", ""),
    ("```\n", ""),
    ('{"a": "', ""),
    ("[", "]"),
    ("\n", "\n\x00"),
)
"""What stands before and after."""

_PRINCIPLE = Principle(id="p", objective="o", text="Answer what was asked.")
_ORIGINAL = Response(
    "p/s0", "p", Message(role="assistant", content="The reply is here."), "sampled", "The reply is here."
)


def _prompt(text: str) -> Prompt:
    return Prompt(id="p", messages=(Message(role="user", content=text),))


def _manipulation(text: str) -> object:
    return manipulation.indicators_of(_prompt("What is it?"), Message(role="assistant", content=text))


READERS: dict[str, Reader] = {
    "a revision": lambda text: revise.parse(text, False, _ORIGINAL, None, _prompt("What is it?"), ("say more",)),
    "a critique": lambda text: critique.parse(text, False, _ORIGINAL, _PRINCIPLE),
    "a verdict in words": verdict.stated,
    "whether a verdict is clear": verdict.clearly,
    "mentions of responses": mentions.with_mentions,
    "a side in JSON": answers.side,
    "a grade": answers.grade,
    "yes or no": lambda text: answers.yes_no(text, _PRINCIPLE),
    "no violation": answers.no_violation,
    "objects in an answer": answers.objects,
    "several verdicts": lambda text: rubric.read(text, 16),
    "thoughts": thoughts.split,
    "thoughts of a model that thinks": partial(thoughts.split, thinks=True),
    "remarks": lambda text: remarks.without_remarks(text, "x"),
    "an echo": lambda text: remarks.echoes(text, text),
    "a refusal": refusal.is_refusal,
    "agreement": tone.agrees,
    "admission": tone.admits,
    "markup": tone.markup,
    "manipulation": _manipulation,
    "script": language.script,
    "language": language.language,
    "another language": lambda text: language.other_language(text, text),
    "confidence": biases.confidence,
    "phrases: orders": phrases.orders,
    "phrases: decisions": phrases.decides,
    "phrases: decisions in data": phrases.decides_in_data,
    "phrases: ratings": phrases.claims_rating,
    "phrases: flattery": phrases.flatters,
    "phrases: delimiters": phrases.delimits,
    "phrases: dialogue": phrases.asks_for_dialogue,
    "phrases: turns": phrases.invents_turns,
    "tokens that divide turns": control_tokens.divides_turns,
    "tokens within turns": control_tokens.within_turns,
    "sentences": sentences.sentence_count,
    "fenced blocks": sentences.fenced_blocks,
    "words": word_count,
    "repetition": repetition,
    "delimiters": escape_delimiters,
    "the shared head": lambda text: shared_head((Message(role="user", content=text),)),
    "a call in text": parse_tool_calls,
    "a bare call": lambda text: parse_tool_calls(text, [{"name": "a"}]),
    "a dialogue": data_text.turns_in,
    "a literal": data_text.parsed,
    "what a page shows": visible,
    "what a terminal shows": printable,
    "lines that a terminal shows": printable_lines,
    "an error's words": shown,
    "a fence": fenced,
    "code in a table": code,
    "an overflow": wording.overflow,
    "a refusal of a server": wording.refused,
}  # fmt: skip


Case = tuple[str, str, str]
"""What a text begins with, what is repeated, and what it ends with."""
MOST = {
    **dict.fromkeys(
        (
            "a revision", "a critique", "a verdict in words", "whether a verdict is clear", "mentions of responses",
            "a side in JSON", "a grade", "yes or no", "no violation", "objects in an answer", "several verdicts",
            "thoughts of a model that thinks", "remarks", "an echo", "a call in text", "a bare call",
        ),
        LONGEST + LONGEST_TOKEN * 4096,
    ),
    **dict.fromkeys((name for name in READERS if name.startswith(("phrases", "tokens"))), SCANNED),
    **dict.fromkeys(("an overflow", "a refusal of a server"), READ),
}  # fmt: skip
"""Most characters that a reader is given: of an answer of 4,096 tokens, of a response that is searched for what addresses its
judge, of a server's error. Others are given whatever a row may hold."""
CASES: list[Case] = [(head, piece, tail) for piece in PIECES for head, tail in FRAMES]


def text_of(case: Case, size: int) -> str:
    """A text of about this many characters."""
    head, piece, tail = case
    return f"{head}{piece * (size // len(piece))}{tail}"


def seconds(reader: Reader, text: str) -> float:
    """CPU time of one reading."""
    begin = time.process_time()
    with suppress(UserError, BadRow, ValueError, RecursionError):
        reader(text)
    return time.process_time() - begin


def held_up(reader: Reader, text: str) -> float:
    """Seconds of the longest wait of an event loop beside one reading."""
    return asyncio.run(Watch().of(aside(partial(seconds, reader, text), len(text))))


def worst(reader: Reader, size: int) -> tuple[float, float, Case, int]:
    """Of the slowest text: seconds at this size, were it linear from the largest tried on; growth over the last quadrupling; which,
    and how large.

    All texts are tried small, and those larger that are slow, or grow most.
    """
    small = [(seconds(reader, text_of(case, SMALLEST)), case) for case in CASES]
    found: tuple[float, float, Case, int] = (0.0, 0.0, CASES[0], SMALLEST)
    for took, case in nlargest(LARGER, small):
        n, growth = SMALLEST, 0.0
        while n < size and took < GIVEN_UP:
            n, before = min(4 * n, size), took
            took = seconds(reader, text_of(case, n))
            growth = took / max(before, 1e-6)
        found = max(found, (took * max(1.0, size / n), growth, case, n))
    return found


def main() -> None:
    """Measure every reader."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1_000_000, help="characters (default: %(default)s)")
    parser.add_argument("--only", help="readers whose name has this in it")
    options = parser.parse_args()
    slow = 0
    for name, reader in READERS.items():
        if options.only and options.only not in name:
            continue
        size = min(options.size, MOST.get(name, options.size))
        took, growth, (head, piece, tail), n = worst(reader, size)
        waited = held_up(reader, text_of((head, piece, tail), n))
        slow += waited > TOLERABLE
        what = f"{head!r} + {piece!r}... + {tail!r} of {n:,}"
        print(
            f"{name:34} {took:7.3f} s  waits {waited:6.3f} s  x{growth:4.1f} for four times the text: {what}",
            flush=True,
        )
    show(f"readers for which a loop waits over {TOLERABLE} s at {options.size:,} characters", slow, "readers", "0")


if __name__ == "__main__":
    main()
