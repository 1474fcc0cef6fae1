"""Unpaired rows: responses to a prompt, each with how sure it is that it is a good one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from constitution.errors import shown
from generation.data.conversation import Messages
from generation.data.message import Told
from generation.models.encoder import Encoder
from training.config import Training
from training.data import parsing
from training.data.batches import Example
from training.data.columns import RowPrompt, bad
from training.data.encode import EncodedSplit, encoded, fitted
from training.data.labels import Labels
from training.data.sources import Row


class Judged(NamedTuple):
    """Responses to one prompt; of a pair both, otherwise one."""

    prompt: RowPrompt
    responses: tuple[Messages, ...]
    p: tuple[float, ...]
    """Probability that each is a good one, from 0 to 1."""
    weight: float
    truncated: tuple[bool, ...]


class UnpairedRow(NamedTuple):
    """Judged responses as token ids."""

    id: str
    example: Example
    p: tuple[float, ...]
    weight: float
    mismatched: Example | None = None
    """Its prompt with a response to another, by which the policy's distance from its reference is measured."""


def judged(row: Row, told: Told) -> Judged:
    """Columns prompt, completion and label; of a pair, chosen is a good one with probability p, rejected with 1 - p.

    Raises UserError.
    """
    if isinstance(row, Mapping) and (row.get("label") is not None or row.get("chosen") is None):
        label = probability("label", row.get("label"))
        found = parsing.target(row, told)
        return Judged(found.prompt, (found.response,), (label,), found.weight, (found.truncated,))
    pair = parsing.pair(row, told)
    both = (pair.chosen, pair.rejected)
    return Judged(pair.prompt, both, (pair.p, 1 - pair.p), pair.weight, pair.truncated)


def probability(key: str, value: object) -> float:
    """A label: true, false, or a number from 0 to 1. Raises UserError."""
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        got = f"got {shown(value)}" if value is not None else "is missing"
        raise bad(key, got, "true, false, or a probability from 0 to 1")
    return float(value)


def encode_unpaired(
    rows: Sequence[Judged], encoder: Encoder, settings: Training, labels: Labels, mismatch: bool
) -> EncodedSplit:
    """Responses after their prompts, each ended by one end of turn unless it was cut. mismatch: see UnpairedRow."""
    kept: list[UnpairedRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        if max(max(p, 1 - p) for p in row.p) < labels.min_confidence:
            counts["dropped_unsure"] += 1
            continue
        example = fitted(row.prompt, row.responses, row.truncated, encoder, settings, counts)
        if example is None:
            continue
        p = tuple(map(labels.trusted, row.p))
        kept.append(UnpairedRow(row.prompt.id, example, p, row.weight))
    return encoded(mismatches(kept, settings.max_length) if mismatch else kept, counts)


def mismatches(rows: Sequence[UnpairedRow], max_length: int) -> list[UnpairedRow]:
    """Each row with a response of the next one that has another prompt; of its own, where all have the same.

    As TRL pairs them, but over all rows: what is measured with them then depends on no batch.
    """
    found, ahead = [], 0
    for i, row in enumerate(rows):
        ahead = max(ahead, i + 1)
        while ahead < i + len(rows) and rows[ahead % len(rows)].example.prompt == row.example.prompt:
            ahead += 1
        other = rows[ahead % len(rows)].example
        place = i % len(other.responses)  # chosen and rejected ones in turn
        room = max_length - len(row.example.prompt)
        trained = None if other.trained is None else (tuple(other.trained[place])[:room],)
        if trained and not any(trained[0]):  # nothing of it that is the assistant's fits
            trained = None
        cut = Example(row.example.prompt, (tuple(other.responses[place])[:room],), trained)
        found.append(row._replace(mismatched=cut))
    return found
