"""Rows -> token ids, by the one rendering that generation uses too; what does not fit is dropped or cut, and counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from evaluation.inputs import InputError
from generation.chat import Encoder
from training.batches import Example
from training.config import Labels, Training
from training.rows import Pair, Prompted, Target


class PairRow(NamedTuple):
    """A pair as token ids; its example's replies are chosen and rejected."""

    id: str
    example: Example
    p: float
    margin: float
    weight: float


class TargetRow(NamedTuple):
    """A prompt and a reply to learn, as token ids."""

    id: str
    example: Example
    weight: float


class PromptRow(NamedTuple):
    """A prompt as token ids, for a policy to answer."""

    prompt: Prompted
    tokens: tuple[int, ...]


class Encoded(NamedTuple):
    """One split's rows that fit."""

    rows: list[Any]
    counts: Counter[str]
    """`rows`, then what happened to those that did not fit: `prompt_too_long`, `cut`, `cut_dropped`, `no_reply`, ..."""

    @property
    def digest(self) -> str:
        """Of token ids, labels and weights, in order."""
        h = blake2b(digest_size=16)
        for row in self.rows:
            h.update(repr(row).encode())
        return h.hexdigest()


def encode_pairs(rows: Sequence[Pair], encoder: Encoder, settings: Training, labels: Labels) -> Encoded:
    """Pairs with both replies after one prompt, each ended by one end of turn. Raises InputError for a bad chat."""
    kept: list[PairRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        p = _trusted(row.p, labels)
        if row.p < labels.least:
            counts["p_chosen_too_small"] += 1
            continue
        example = _example(row.prompt, (row.chosen, row.rejected), encoder, settings, counts)
        if example is None:
            continue
        if list(example.replies[0]) == list(example.replies[1]):
            counts["equal_once_cut"] += 1
            continue
        kept.append(PairRow(row.prompt.id, example, p, row.margin, row.weight))
    counts["kept"] = len(kept)
    return Encoded(kept, counts)


def encode_targets(rows: Sequence[Target], encoder: Encoder, settings: Training) -> Encoded:
    """Replies to learn, each after its prompt."""
    kept: list[TargetRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        example = _example(row.prompt, (row.reply,), encoder, settings, counts)
        if example is not None:
            kept.append(TargetRow(row.prompt.id, example, row.weight))
    counts["kept"] = len(kept)
    return Encoded(kept, counts)


def encode_prompts(rows: Sequence[Prompted], encoder: Encoder, room: int) -> Encoded:
    """Prompts of at most `room` tokens."""
    kept: list[PromptRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        tokens = tuple(_render(row, (), encoder)[0])
        if len(tokens) > room:
            counts["prompt_too_long"] += 1
        else:
            kept.append(PromptRow(row, tokens))
    counts["kept"] = len(kept)
    return Encoded(kept, counts)


def check_some(encoded: Encoded, settings: Training) -> None:
    """Raises InputError when nothing is left to train on."""
    if encoded.rows:
        return
    reasons = ", ".join(
        f"{name} {n}" for name, n in sorted(encoded.counts.items()) if n and name not in ("read", "kept")
    )
    raise InputError(
        f"--data {', '.join(settings.data)}: no row is left of {encoded.counts['read']} ({reasons or 'none was read'}); raise "
        f"max_length (now {settings.max_length}), set cut: keep, or lower labels.least"
    )


def _example(
    prompt: Prompted, replies: Sequence[str], encoder: Encoder, settings: Training, counts: Counter[str]
) -> Example | None:
    """The prompt and its replies as ids; None, and a count, where they do not fit."""
    if not all(reply.strip() for reply in replies):
        counts["empty_reply"] += 1
        return None
    before, rendered = _render(prompt, replies, encoder)
    room = settings.max_length - len(before)
    if room < 2:
        counts["prompt_too_long"] += 1
        return None
    ended = [(*reply, encoder.end_of_turn) for reply in rendered]
    if any(len(reply) > room for reply in ended):
        counts["cut"] += 1
        if settings.cut == "drop":
            counts["cut_dropped"] += 1
            return None
    return Example(tuple(before), tuple(tuple(reply[:room]) for reply in ended))


def _render(prompt: Prompted, replies: Sequence[str], encoder: Encoder) -> tuple[list[int], list[list[int]]]:
    try:
        return encoder.replies(prompt.messages, replies, prompt.tools or None)
    except ValueError as error:
        raise InputError(
            f"prompt {prompt.id}: {error}; leave it out, or train a model whose template takes it"
        ) from None


def _trusted(p: float, labels: Labels) -> float:
    """The label's probability at the labels' temperature, kept from both ends."""
    if p < 1 and labels.temperature != 1:
        p = 1 / (1 + math.exp(-math.log(p / (1 - p)) / labels.temperature))
    return min(max(p, labels.floor), 1 - labels.floor)
