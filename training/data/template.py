"""What a model's chat template makes of the rows that it is trained on, told before anything loads."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any

from transformers import PreTrainedTokenizerBase

from constitution.records import Message
from constitution.terminal import complain
from critics.text.thoughts import marks_thoughts
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.encoder import Encoder
from generation.models.shape import RowKind
from training.config import Training


def chat_encoder(files: ModelFiles, settings: Training, day: datetime.date) -> tuple[PreTrainedTokenizerBase, Encoder]:
    """The tokenizer of the model that is trained, and what writes its chats. day: what the template takes for today.

    Raises ModelError, also for a template that ends no turn.
    """
    tokenizer = load_tokenizer(files)
    encoder = Encoder(tokenizer, settings.chat_template_kwargs, day=day)
    _ = encoder.end_of_turn
    return tokenizer, encoder


def examine_rows(files: ModelFiles, encoder: Encoder, rows: Iterable[Any], thinks: bool = False) -> None:
    """Tell what of these rows the template writes in its own way. thinks: responses will be sampled, with thoughts before them.

    Raises ModelError for what would be trained wrong.
    """
    for note in encoder.examine_training(kinds_of(rows) | ({"thoughts"} if thinks else set())):
        complain(f"{files.name}: {note}")


def kinds_of(rows: Iterable[Any]) -> set[RowKind]:
    """What rows have beside answers: tools, or thoughts. rows: records with messages in their fields."""
    found: set[RowKind] = {"answers"}
    for row in rows:
        tools = getattr(getattr(row, "prompt", row), "tools", ())
        for message in _messages(row):
            if message.tool_calls or message.role == "tool":
                found.add("calls")
            if message.reasoning_content or (message.role == "assistant" and marks_thoughts(message.content)):
                found.add("thoughts")
        if tools:
            found.add("calls")
        if len(found) == 3:
            break
    return found


def _messages(value: Any) -> Iterator[Message]:
    if isinstance(value, Message):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _messages(one)
