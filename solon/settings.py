"""What the functions of the library are given -> the records and settings that the programs work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from constitution.principles import Constitution
from constitution.records import Message, Prompt
from generation.config import EXAMPLE, RunConfig
from generation.engines.function import register
from generation.settings import load
from solon.constitutions import load_constitution

Turn = Message | Mapping[str, Any]
Conversation = str | Sequence[Turn] | Prompt
"""What was asked: the user's words, a list of messages, or a Prompt."""


def settings_of(config: str | Path | None, values: Mapping[str, object]) -> RunConfig:
    """The settings of a YAML file, then those given by name. Raises UserError with every problem at once."""
    return load(RunConfig, Path(config) if config else None, (), named(values), example=EXAMPLE)


def named(values: Mapping[str, object]) -> dict[str, object]:
    """Settings with the names of functions in place of the functions that play `policy` and `judge`."""
    return {
        key: register(value) if key in ("policy", "judge") and callable(value) else value
        for key, value in values.items()
    }


def constitution_of(given: Constitution | str | Path) -> Constitution:
    """A constitution as it is, by its name, or from a file. Raises UserError."""
    return given if isinstance(given, Constitution) else load_constitution(given)


def prompt_of(given: Conversation) -> Prompt:
    """A conversation as a Prompt. Raises pydantic's ValidationError, a ValueError, where a message is none."""
    if isinstance(given, Prompt):
        return given
    turns: Sequence[Turn] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return Prompt(id="prompt", messages=tuple(map(message_of, turns)))


def message_of(given: Turn | str) -> Message:
    """A message, or the words of the assistant, as a Message. Raises as `prompt_of`."""
    if isinstance(given, str):
        return Message(role="assistant", content=given)
    return Message.model_validate(given)
