"""How long a run's event loop waits at most while long hostile texts go through it: as rows, as tokens, and as a server's answers.

    python -m benchmarks.waits [--size 1000000] [--pieces 30]

A text is one piece many times over. For each there is a run on the replay engine over rows that have it in each place in turn, one
that encodes them all for the embedded model, whose context they do not fit, and one that is answered with it by a server, as
critiques, revisions, verdicts in words and calls of tools; and one over many rows of texts that are not long. Beside each figure
stands where the loop, and threads beside it, were in the longest wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, redirect_stderr, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

from benchmarks.common import show, write_constitution
from benchmarks.hostile import PIECES, TOLERABLE
from benchmarks.loopback import running
from benchmarks.watch import Watch
from constitution.errors import Unavailable, UserError
from constitution.records import Prompt
from generation.pipeline.job import prepare, produce
from generation.pipeline.progress import Progress
from generation.request import FeedbackSettings

CHOSEN = (
    "the quick brown fox jumps over it. ", "中", ". ", "“", "0 ", "a", "\n", " \n", "[[A]] ", "<think>", '{"a":',
    "Response A is ", "better ", "\n\nHuman: ", "[1,", "<tool_call>", "🙂", "&", "A and B ", "{}", "```\n", "here is the ",
)  # fmt: skip
"""Pieces that are tried first."""
ANSWER = 200_000
"""Characters of a server's answer; of more than 1 MB of it, as JSON, and some for each token asked for, nothing is read."""
MANY, MANY_CHARACTERS = 300, 2000
"""Rows, and characters of each of their two responses."""
LONG_ALONE = 3
"""Rows that no model could be asked about, so that none is loaded."""


def rows(text: str) -> list[dict[str, object]]:
    """The text in each place of a row."""
    half = text[: len(text) // 2]
    tool = {"type": "function", "function": {"name": "f", "description": text, "parameters": {"type": "object"}}}
    calls = [{"type": "function", "function": {"name": "f", "arguments": {"x": half}}}]
    return [
        {"prompt": "Why?", "responses": [half, f"{half} x"]},
        {"prompt": text, "responses": ["Yes.", "No."]},
        {"prompt": text},
        {"prompt": "Why?", "responses": ["Yes.", "No."], "reference": text},
        {"prompt": f"\n\nHuman: {half}\n\nAssistant: {half}"},
        {"prompt": f"[{text}]"},
        {"prompt": "Why?", "tools": [tool], "responses": ["Yes.", {"role": "assistant", "tool_calls": calls}]},
        {"prompt": "Why?", "responses": ["Yes.", "No."], "note": text},
        {"prompt": "Why?", "tags": [text[:1000]], "responses": [f"<think>{half}</think>Yes.", "No."]},
    ]


class Prompts(Progress):
    """Watches from the first prompt to the last: before and after, as a tokenizer is read or files are closed, no call waits."""

    def __init__(self, prompts: int, watch: Watch) -> None:
        super().__init__(prompts, StringIO())
        self._watch, self._left = watch, prompts
        self.begun = False

    @asynccontextmanager
    async def around(self, _: Prompt) -> AsyncIterator[None]:
        """Surrounds the work on a prompt."""
        if not self.begun:
            self._watch.begin_anew()
        self.begun = True
        yield

    def row(self, prompt: str, failed: bool) -> None:
        """One is finished."""
        super().row(prompt, failed)
        self._left -= 1
        if not self._left:
            self._watch.end()


def waited(folder: Path, *overrides: str, rows: list[dict[str, object]], engine: str = "replay") -> tuple[float, str]:
    """(seconds of the longest wait of a run over these rows, where the loop then was). 0 where none of them is a prompt."""
    prompts = folder / "prompts.jsonl"
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    prompts.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    laws = write_constitution(folder / "laws.yaml", 2, {"check": {"max_sentences": 3}})
    out = Path(tempfile.mkdtemp(dir=folder))
    plan = ("plan.controls=0", "plan.defences.manipulation=drop", *overrides)
    watch = Watch()
    progress = Prompts(len(rows), watch)
    with redirect_stderr(StringIO()):
        job = prepare(
            FeedbackSettings(constitution=laws, prompts=str(prompts), out=str(out), engine=engine, overrides=plan)
        )
        with suppress(UserError, Unavailable):
            asyncio.run(watch.of(produce(replace(job, around=progress.around), progress=progress)))
    return (watch.longest, watch.where) if progress.begun else (0.0, "")


def many(text: str) -> list[dict[str, object]]:
    """Rows of two responses each."""
    begin = text[:MANY_CHARACTERS]
    return [{"prompt": f"Why {i}?", "responses": [f"{i} {begin}", f"{i}{begin} x"]} for i in range(MANY)]


def measured(folder: Path, piece: str, size: int) -> Iterator[tuple[str, float, str]]:
    """(kind of run, seconds of its longest wait, where)."""
    text = piece * (size // len(piece))
    yield "rows", *waited(folder, "plan.rule_critiques=true", rows=rows(text))
    yield "tokens", *waited(folder, "plan.rounds=0", rows=rows(text)[:LONG_ALONE], engine="transformers")
    yield "many", *waited(folder, "plan.rule_critiques=true", rows=many(text))
    said = folder / "said.txt"
    said.write_text(text[:ANSWER], encoding="utf-8")
    tool: dict[str, object] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    asked: list[dict[str, object]] = [
        {"prompt": "Why?", "responses": ["Yes.", "No."]},
        {"prompt": "Why?", "tools": [tool]},
    ]
    with running(0.0, 64, "--says", str(said)) as url:
        server = f"endpoints=[{json.dumps({'url': url, 'model': 'm'})}]"
        yield "answers", *waited(folder, server, "plan.verdict_samples=2", rows=asked, engine="endpoint")


def main() -> None:
    """Measure, piece by piece."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1_000_000, help="characters (default: %(default)s)")
    parser.add_argument("--pieces", type=int, default=30, help="how many pieces (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        assert [*measured(Path(place), "a ", 100)]  # imports what a run imports when it comes to it
    longest: dict[str, float] = {}
    for piece in list(dict.fromkeys((*CHOSEN, *PIECES)))[: options.pieces]:
        with tempfile.TemporaryDirectory() as place:
            for kind, seconds, where in measured(Path(place), piece, options.size):
                longest[kind] = max(longest.get(kind, 0.0), seconds)
                print(f"{piece!r:40} {kind:8} {seconds:7.3f} s  {where}", flush=True)
    sizes = {"answers": min(options.size, ANSWER), "many": min(options.size, MANY_CHARACTERS)}
    for kind, seconds in longest.items():
        what = f"{f'{MANY} rows' if kind == 'many' else kind} of {sizes.get(kind, options.size):,} characters"
        show(f"longest wait of the event loop, {what}", seconds, "s", f"<= {TOLERABLE}")


if __name__ == "__main__":
    main()
