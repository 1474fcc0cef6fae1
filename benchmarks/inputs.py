"""Input conditions of many makers, each read and compared with what was meant.

    python -m benchmarks.inputs

prints how many were tried, read right, refused with a reason, read wrong in silence (0) and ended in a traceback (0). Each
condition writes a small file of its own; what is expected of it stands beside it: the records in their order as `told` shows
them, or the reason of a refusal. `tests/benchmarks/test_inputs.py` reads the same table.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from benchmarks.inputs_made import CASES, PAIRS, TRAINED, VOTES, Case
from constitution.errors import UserError
from constitution.records import Failure, Message, Prompt
from critics.transcript import message_text
from evaluation.judge.labelled import read_labelled
from evaluation.judge.recorded import read_recorded
from generation.data import prompts
from generation.data.message import Told
from training.data.columns import Pair
from training.data.parsing import pair, target
from training.data.sources import read as read_rows

Outcome = Literal["right", "refused", "wrong", "traceback"]


class Result(NamedTuple):
    """What came of one condition."""

    name: str
    outcome: Outcome
    found: tuple[str, ...]
    """What was read or said."""


def told(prompt: Prompt, ids: bool = False) -> str:
    """A prompt on one line: `role: text | role: text => response / response #tags +tools ~reference {metadata} @id`."""
    parts = [turns(prompt.messages)]
    if prompt.responses:
        parts.append("=> " + " / ".join(map(message_text, prompt.responses)))
    parts += [f"#{','.join(prompt.tags)}"] if prompt.tags else []
    parts += [f"+{json.dumps(prompt.tools)}"] if prompt.tools else []
    parts += [f"~{prompt.reference}"] if prompt.reference else []
    parts += [prompt.metadata] if prompt.metadata else []
    return " ".join([*parts, f"@{prompt.id}"] if ids else parts)


def turns(messages: Sequence[Message]) -> str:
    """A conversation on one line."""
    return " | ".join(f"{m.role}: {message_text(m)}" for m in messages)


def of_prompts(spec: str, case: Case) -> Iterator[str]:
    """What the reader of prompts gives; a refusal begins with `!`."""
    prompts.inspect(spec, given=case.mapped)
    for row in prompts.read(spec, given=case.mapped):
        yield f"!{row.reason} {row.detail}" if isinstance(row, Failure) else told(row, case.ids)


def of_pairs(spec: str, case: Case) -> Iterator[str]:
    """What the reader of labelled pairs gives."""
    pairs, problems = read_labelled(spec, columns=case.mapped)
    for one in pairs:
        name = f" @{one.id}" if case.ids else ""
        yield f"{turns(one.prompt.messages)} => {one.better.text} > {one.worse.text}{name}"
    yield from (f"!{problem}" for problem in problems)


def of_votes(spec: str, case: Case) -> Iterator[str]:
    """What the reader of recorded votes gives: each pair's log-odds for the better response with it first and second."""
    matrix, _ = read_recorded(spec, mapped=case.mapped)
    for i, name in enumerate(matrix.pairs):
        yield f"{name}: {matrix.better_first[i, 0]:.2f} {matrix.better_second[i, 0]:.2f}"


def said(side: Sequence[Message]) -> str:
    """A response on one line: its text, or its turns where it has several."""
    return message_text(side[0]) if len(side) == 1 else turns(side)


def of_training(spec: str, case: Case) -> Iterator[str]:
    """What training makes of the rows."""
    for raw in read_rows(spec, "sft" if case.sft else "preferences", given=dict(one.split("=") for one in case.mapped)):
        try:
            made = (target if case.sft else pair)(raw.row, Told())
        except UserError as error:
            yield f"!{error}"
        else:
            replies = f"{said(made.chosen)} > {said(made.rejected)}" if isinstance(made, Pair) else said(made.response)
            yield f"{turns(made.prompt.messages)} => {replies}"


READERS: dict[str, tuple[tuple[Case, ...], Callable[[str, Case], Iterator[str]]]] = {
    "prompts": (CASES, of_prompts),
    "labelled pairs": (PAIRS, of_pairs),
    "recorded votes": (VOTES, of_votes),
    "training": (TRAINED, of_training),
}


def tried(case: Case, read: Callable[[str, Case], Iterator[str]], folder: Path) -> Result:
    """One condition, read."""
    spec = case.write(folder)
    try:
        found = tuple(read(spec, case))
    except UserError as error:
        found = (f"!{error}",)
    except Exception:
        return Result(case.name, "traceback", (traceback.format_exc(),))
    if len(found) != len(case.expected) or not all(map(_as_meant, found, case.expected)):
        return Result(case.name, "wrong", found)
    return Result(case.name, "refused" if any(one.startswith("!") for one in case.expected) else "right", found)


def _as_meant(found: str, expected: str) -> bool:
    """A record is exactly as expected; a refusal says what is expected of it somewhere."""
    if expected.startswith("!"):
        return found.startswith("!") and expected[1:] in found
    return found == expected


def main() -> int:
    """Try all conditions, print the counts; returns 1 where one is wrong."""
    results: list[Result] = []
    for kind, (cases, read) in READERS.items():
        for case in cases:
            with TemporaryDirectory() as folder:
                results.append(tried(case, read, Path(folder)))
            if results[-1].outcome in ("wrong", "traceback"):
                print(f"{kind}: {case.name}: {results[-1].outcome}", *results[-1].found, sep="\n    ")
    counts = Counter(result.outcome for result in results)
    names: dict[Outcome, str] = {
        "right": "right",
        "refused": "refused with a reason",
        "wrong": "silent wrong",
        "traceback": "traceback",
    }
    print(f"tried {len(results)}, " + ", ".join(f"{names[name]} {counts[name]}" for name in names))
    return 1 if counts["wrong"] or counts["traceback"] else 0


if __name__ == "__main__":
    sys.exit(main())
