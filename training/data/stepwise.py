"""Solutions in steps, each labelled: columns prompt, completions and labels, as TRL names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from constitution.errors import UserError, shown
from constitution.records import Message
from generation.data.conversation import Messages
from generation.data.message import Told
from generation.data.record import BadRow
from generation.models.encoder import Encoder
from training.config import Training
from training.data import columns
from training.data.batches import Example
from training.data.columns import RowPrompt, bad
from training.data.encode import EncodedSplit, encoded, fitted
from training.data.sources import Row
from training.data.unpaired import probability


class Stepwise(NamedTuple):
    """A response in steps, and the probability that each is right; None where nobody says."""

    prompt: RowPrompt
    steps: tuple[str, ...]
    p: tuple[float | None, ...]
    weight: float


class StepRow(NamedTuple):
    """A response in steps as token ids; the steps that have a label, and lie in it whole."""

    id: str
    example: Example
    places: tuple[int, ...]
    """Of each step's last token in the response."""
    p: tuple[float, ...]
    weight: float


def stepwise(row: Row, told: Told) -> Stepwise:
    """A response in steps. Raises UserError."""
    if isinstance(row, BadRow):
        raise UserError(row.at(""))
    if not isinstance(row, Mapping):
        raise bad("", "is a pair of a run, whose responses have no labelled steps", "prompt, completions and labels")
    prompt = columns.prompted(row, told)
    steps, labels = row.get("completions"), row.get("labels")
    for name, value in (("completions", steps), ("labels", labels)):
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise bad(name, f"got {shown(value)}" if value is not None else "is missing", "a list, one for each step")
    assert steps is not None
    assert labels is not None
    if wrong := [step for step in steps if not isinstance(step, str) or not step.strip()]:
        raise bad("completions", f"got {shown(wrong[0])}", "texts that are not empty")
    if len(steps) != len(labels):
        raise bad("labels", f"got {len(labels)} of {len(steps)} steps", "one for each step, null where nobody says")
    p = tuple(None if label is None else probability("labels", label) for label in labels)
    if all(one is None for one in p):
        raise bad("labels", "are null, all of them", "a label of some step")
    return Stepwise(prompt, tuple(steps), p, columns.weight(row))


def encode_stepwise(rows: Sequence[Stepwise], encoder: Encoder, settings: Training, separator: str) -> EncodedSplit:
    """Responses whose steps are joined by the separator, after their prompts. Steps that are cut are not learnt."""
    kept: list[StepRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        example = fitted(row.prompt, (_said(separator.join(row.steps)),), (False,), encoder, settings, counts)
        if example is None:
            continue
        places = step_ends(row.prompt, row.steps, example.responses[0], encoder, separator)
        n = len(example.responses[0])
        known = [(place, p) for place, p in zip(places, row.p, strict=True) if p is not None and place < n - 1]
        if not known:
            counts["dropped_truncated"] += 1
            continue
        found, labels = zip(*known, strict=True)
        kept.append(StepRow(row.prompt.id, example, tuple(found), tuple(labels), row.weight))
    return encoded(kept, counts)


def step_ends(
    prompt: RowPrompt, steps: Sequence[str], response: Sequence[int], encoder: Encoder, separator: str
) -> list[int]:
    """Place in the response of each step's last token; of the token that ends it and begins the next, where they are one.

    The response up to a step's end is encoded alone: where its tokens part from the whole's, the next token holds the end.
    """
    beginnings = [separator.join(steps[:n]) for n in range(1, len(steps) + 1)]
    sides = [_said(text) for text in beginnings]
    told = (prompt.tools or None, prompt.template_kwargs or None, [True] * len(sides))
    places = []
    for side in encoder.written(prompt.messages, sides, *told).sides:
        part = side.tokens
        same = next((i for i, (a, b) in enumerate(zip(part, response, strict=False)) if a != b), len(part))
        places.append(same - 1 if same == len(part) else min(same, len(response)))
    return places


def _said(text: str) -> Messages:
    return (Message(role="assistant", content=text),)
