"""The columns of one row of any dataset -> a pair, a target or a prompt, or what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import regex
from pydantic import ValidationError

from constitution.digest import digest
from constitution.errors import Problem, Problems, UserError, problems_of, shown
from constitution.records import Message
from critics.transcript import message_text

RENDERED = regex.compile(
    r"<\|im_(?:start|end)\|>|<\|start_header_id\|>|<\|eot_id\|>|<\|end(?:_?of_?text)?\|>|<(?:start|end)_of_turn>|\[/?INST\]"
    r"|<\|(?:user|assistant|system)\|>|<\|turn>|<｜(?:User|Assistant)｜>|</s>\s*$"
)
"""Signs that a text went through some model's chat template already."""
_BOTH = ("chosen", "rejected")
_RUN_UP = 16
"""Characters from which a response that begins with its prompt's text is taken to hold it."""


class RowPrompt(NamedTuple):
    """What comes before a response."""

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()


class Pair(NamedTuple):
    """Two responses to one prompt, and how sure it is that the first is better."""

    prompt: RowPrompt
    chosen: str
    rejected: str
    p: float
    """Probability that chosen is better, 0.5 to 1; 1 where the data knows none."""
    margin: float
    """Column `margin`; 0 where there is none."""
    weight: float
    truncated: tuple[bool, bool] = (False, False)
    """Whether chosen and rejected were cut as they were written: columns `chosen_truncated` and `rejected_truncated` of a run."""


class Target(NamedTuple):
    """A prompt and the response to learn."""

    prompt: RowPrompt
    response: str
    weight: float
    truncated: bool = False
    """Whether the response was cut as it was written: column `completion_truncated`."""


def bad(key: str, got: str, allowed: str = "", fix: str = "") -> UserError:
    """Why a row cannot be trained on. key: its column, empty for the row as a whole; where the row stands, the reader adds."""
    return UserError(Problem("", key, got, allowed, fix))


def pair(row: Mapping[str, Any]) -> Pair:
    """Columns prompt, chosen and rejected, as text or messages. Raises UserError."""
    row = _explicit(row)
    missing = [name for name in ("prompt", *_BOTH) if row.get(name) is None]
    if missing:
        raise bad("", f"has columns {', '.join(row) or 'none'}", fix=f"add {', '.join(missing)}")
    prompt = prompted(row)
    responses = {name: _response(name, row[name], prompt) for name in _BOTH}
    chosen, rejected = responses.values()
    if all(isinstance(row[name], str) and _repeats(text, prompt) for name, text in responses.items()):
        raise bad(
            "chosen and rejected",
            "begin with the prompt, which would be trained on twice",
            fix="keep the responses alone",
        )
    p, margin = _number(row, "p_chosen", 1.0), _number(row, "margin", 0.0)
    truncated = (_flag(row, "chosen_truncated"), _flag(row, "rejected_truncated"))
    return checked(Pair(prompt, chosen, rejected, p, margin, _weight(row), truncated))


def checked(pair: Pair) -> Pair:
    """The pair, if it can be trained on. Raises UserError."""
    if pair.chosen == pair.rejected:
        raise bad("chosen and rejected", "are equal", "two different responses", "leave the row out")
    if not 0.5 <= pair.p <= 1:
        raise bad("p_chosen", f"got {pair.p}", "0.5 to 1", "where rejected is better, swap the two")
    return pair


def _explicit(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pair's row with its prompt in a column: of two conversations that differ in their last message alone, the rest."""
    if row.get("prompt") is not None or any(row.get(name) is None for name in _BOTH):
        return row
    chosen, rejected = (row[name] for name in _BOTH)
    apart = "are texts"
    if isinstance(chosen, list) and isinstance(rejected, list):
        if len(chosen) > 1 and chosen[:-1] == rejected[:-1]:
            return {**row, "prompt": chosen[:-1], "chosen": chosen[-1:], "rejected": rejected[-1:]}
        apart = "differ before their last message"
    raise bad(
        "",
        f"has columns {', '.join(row)}, no prompt, and chosen and rejected {apart}",
        fix="add a column prompt with what comes before the responses, and keep the responses alone in chosen and rejected",
    )


def target(row: Mapping[str, Any]) -> Target:
    """Columns prompt and completion, or messages that end with the assistant's. Raises UserError."""
    if row.get("completion") is None and isinstance(row.get("messages"), list) and row["messages"]:
        *before, last = row["messages"]
        row = {**row, "prompt": before, "completion": [last]}
    if row.get("prompt") is None or row.get("completion") is None:
        raise bad("", f"has columns {', '.join(row) or 'none'}", fix="add prompt and completion, or messages")
    prompt = prompted(row)
    text = _response("completion", row["completion"], prompt)
    if isinstance(row["completion"], str) and _repeats(text, prompt):
        raise bad(
            "completion",
            "begins with the prompt, which would be trained on twice",
            fix="keep the response alone, or give it as a message where it does repeat the prompt",
        )
    return Target(prompt, text, _weight(row), _flag(row, "completion_truncated"))


def _repeats(text: str, prompt: RowPrompt) -> bool:
    asked = prompt.messages[-1].content.strip()
    return len(asked) >= _RUN_UP and text.lstrip().startswith(asked)


def _weight(row: Mapping[str, Any]) -> float:
    weight = _number(row, "weight", 1.0)
    if weight < 0:
        raise bad("weight", f"got {weight}", "0 or more")
    return weight


def prompted(row: Mapping[str, Any]) -> RowPrompt:
    """What comes before the response: column prompt, or messages without the assistant's last ones. Raises UserError."""
    row = _explicit(row)
    given = row["prompt"] if row.get("prompt") is not None else row.get("messages")
    if given is None:
        raise bad("", f"has columns {', '.join(row) or 'none'}", fix="add prompt, as text or messages")
    messages = _messages("prompt", [{"role": "user", "content": given}] if isinstance(given, str) else given)
    if isinstance(given, str):
        _check_unrendered("prompt", given)
    while row.get("prompt") is None and messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    tools = _tools(row.get("tools"))
    name = str(row.get("prompt_id") or row.get("id") or "") or _name(messages)
    tags = row.get("tags") or ()
    tags = tuple(map(str, tags)) if isinstance(tags, list | tuple) else ()
    return answerable(RowPrompt(name, messages, tools, tags))


def answerable(prompt: RowPrompt) -> RowPrompt:
    """The prompt, if a response may follow. Raises UserError."""
    if not prompt.messages or prompt.messages[-1].role in ("assistant", "system"):
        got = prompt.messages[-1].role if prompt.messages else "nobody"
        raise bad("prompt", f"the last to speak is {got}", "the user or a tool, whom the response answers")
    return prompt


def _name(messages: Sequence[Message]) -> str:
    text = json.dumps([message.model_dump(mode="json") for message in messages])
    return digest(text, 8)


def _tools(value: object) -> tuple[Mapping[str, Any], ...]:
    """Descriptions of tools: objects, or the JSON of a list of them."""
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = value
    found = found or []
    if not isinstance(found, list | tuple) or not all(isinstance(tool, Mapping) for tool in found):
        raise bad("tools", f"got {shown(value)}", "a list of objects that describe tools, or its JSON")
    return tuple(found)


def _response(name: str, value: object, prompt: RowPrompt) -> str:
    if isinstance(value, str):
        _check_unrendered(name, value)
        return value
    messages = _messages(name, value)
    if len(messages) > len(prompt.messages) and messages[: len(prompt.messages)] == prompt.messages:
        raise bad(
            name,
            "holds the prompt's messages, which would be trained on twice",
            fix="keep the response alone, or leave the column prompt out",
        )
    if [m.role for m in messages] != ["assistant"]:
        roles = ", ".join(m.role for m in messages) or "none"
        raise bad(name, f"got messages of {roles}", "one message of the assistant, or text")
    return message_text(messages[0])


def _messages(name: str, value: object) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple):
        raise bad(name, f"got {shown(value)}", "text or a list of messages")
    problems, messages = Problems(), []
    for place, turn in enumerate(value):
        with problems.collect(f"{name}.{place}"):
            messages.append(_message(turn))
    problems.check()
    return tuple(messages)


def _message(turn: object) -> Message:
    """One message; a column of messages has nulls for the fields that another message has."""
    try:
        return Message.model_validate(
            {k: v for k, v in turn.items() if v is not None} if isinstance(turn, dict) else turn
        )
    except ValidationError as error:
        raise UserError(problems_of(error, Message)) from None


def _check_unrendered(name: str, text: str) -> None:
    if found := RENDERED.search(text):
        raise bad(
            name,
            f"holds {found.group()!r}, so it went through a chat template already, which may be another than the model's",
            fix="give messages, or text without the template's marks",
        )


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    if not isinstance(value, bool | None):
        raise bad(name, f"got {shown(value)}", f"true, false, or no column {name}")
    return bool(value)


def _number(row: Mapping[str, Any], name: str, default: float) -> float:
    if name not in row:
        return default
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad(name, f"got {shown(value)}", f"a finite number, or no column {name}")
    return float(value)
