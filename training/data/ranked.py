"""Rankings: several responses to one prompt, the best first; some may be as good as each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from constitution.errors import UserError, shown
from constitution.records import Message
from generation.data.conversation import Messages
from generation.data.message import Told, message
from generation.data.record import BadRow
from generation.models.encoder import Encoder
from generation.output import reading
from generation.output.exports.rankings import ranking_rows
from generation.output.run import open_run
from training.config import Training
from training.data import columns
from training.data.batches import Example
from training.data.columns import RowPrompt, bad
from training.data.encode import EncodedSplit, encoded, fitted
from training.data.sources import Raw, Row

MOST_TIED = 8
"""Responses of one rank: the loss is over all orders that they may stand in."""
_TEXTS = ("text", "content", "response")


class Ranked(NamedTuple):
    """Responses to one prompt, and the rank of each: 1 is best, equal ranks are a tie."""

    prompt: RowPrompt
    responses: tuple[Messages, ...]
    ranks: tuple[int, ...]
    weight: float


class RankedRow(NamedTuple):
    """A ranking as token ids, the best response first."""

    id: str
    example: Example
    ranks: tuple[int, ...]
    weight: float


def ranked(row: Row, told: Told) -> Ranked:
    """Columns prompt and responses: texts with the column ranks, or objects with text, tool_calls and rank. One without a rank is
    left out.

    Raises UserError.
    """
    if isinstance(row, BadRow):
        raise UserError(row.at(""))
    assert isinstance(row, Mapping)
    prompt = columns.prompted(row, told)
    given = row.get("responses")
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise bad("responses", f"got {shown(given)}" if given else "is missing", "a list of responses")
    ranks = row.get("ranks")
    if ranks is None:
        ranks = [one.get("rank") if isinstance(one, Mapping) else None for one in given]
    if not isinstance(ranks, Sequence) or len(ranks) != len(given):
        raise bad("ranks", f"got {shown(ranks)}", f"a rank of each of the {len(given)} responses")
    known = sorted(
        (_rank(rank), i, _message(one, told))
        for i, (one, rank) in enumerate(zip(given, ranks, strict=True))
        if rank is not None
    )
    if len(known) < 2:
        raise bad("responses", f"{len(known)} of {len(given)} have a rank", "two or more", "give ranks, 1 for the best")
    tied = Counter(rank for rank, _, _ in known)
    if max(tied.values()) > MOST_TIED:
        raise bad("ranks", f"{max(tied.values())} responses are of one rank", f"up to {MOST_TIED}")
    weight = columns.weight(row)
    responses = tuple((message,) for _, _, message in known)
    return Ranked(prompt, responses, tuple(rank for rank, _, _ in known), weight)


def _rank(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise bad("ranks", f"got {shown(value)}", "a whole number, 1 for the best")
    return int(value)


def _message(value: object, told: Told) -> Message:
    if isinstance(value, Mapping) and value.get("tool_calls"):
        text = next((value[name] for name in _TEXTS if value.get(name) is not None), "")
        with columns.read_as_rows():
            return message({"role": "assistant", "content": text, "tool_calls": value["tool_calls"]}, told)
    return Message(role="assistant", content=_text(value))


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        value = next((value[name] for name in _TEXTS if value.get(name) is not None), None)
    if not isinstance(value, str):
        raise bad("responses", f"got {shown(value)}", f"texts, or objects with {' or '.join(_TEXTS)}")
    return value


def of_run(path: Path, limit: int | None) -> Iterator[Raw]:
    """The rankings of a run's prompts that have a pair, as rows; `limit` at most of each split. Raises UserError."""
    known: dict[str, tuple[str, Any, Any, str]] = {}
    for split, file in reading.split_files(path, "preferences"):
        for pair in reading.read_training_pairs(file, split):
            known[pair.prompt_id] = (split, pair.tools, pair.tags, pair.constitution_digest)
    read = Counter[str]()
    for i, row in enumerate(ranking_rows(open_run(path)), 1):
        if row["prompt_id"] not in known:
            continue
        split, tools, tags, digest = known[row["prompt_id"]]
        if limit is not None and read[split] >= limit:
            continue
        read[split] += 1
        more = {"tools": [*tools] or None, "tags": [*tags], "constitution_digest": digest}
        yield Raw(f"{path}:prompt {i}", split, {**row, **more})


def encode_ranked(rows: Sequence[Ranked], encoder: Encoder, settings: Training) -> EncodedSplit:
    """Rankings with all responses after one prompt, each with the end of its turn unless one of them was cut."""
    kept: list[RankedRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        whole = (False,) * len(row.responses)
        example = fitted(row.prompt, row.responses, whole, encoder, settings, counts)
        if example is not None:
            kept.append(RankedRow(row.prompt.id, example, row.ranks, row.weight))
    return encoded(kept, counts)
