"""The columns of one row of any dataset -> a pair, a target or a prompt, or what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import regex

from constitution.digest import digest
from constitution.errors import Problem, UserError, shown
from constitution.records import Message
from generation.data import conversation as shapes
from generation.data.conversation import Messages
from generation.data.message import Told
from generation.data.prompts import turns, with_system
from generation.data.record import BadRow

RENDERED = regex.compile(
    r"<\|im_(?:start|end)\|>|<\|start_header_id\|>|<\|eot_id\|>|<\|end(?:_?of_?text)?\|>|<(?:start|end)_of_turn>|\[/?INST\]"
    r"|<\|(?:user|assistant|system)\|>|<\|turn>|<｜(?:User|Assistant)｜>|</s>\s*$"
)
"""Signs that a text went through some model's chat template already."""
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
"""Columns of what is no text."""
_BOTH = ("chosen", "rejected")
_ASKED = ("prompt", "messages", "conversations")
_PROMPT = (*_ASKED, "system", "tools", "id", "prompt_id", "constitution_digest")
_WRITTEN = (*_PROMPT, "chat_template_kwargs", "weight")
OF_PAIR = (*_WRITTEN, *_BOTH, "p_chosen", "chosen_truncated", "rejected_truncated", "tags")
"""Columns that are read of a pair; `margin` where it is subtracted."""
OF_TARGET = (*_WRITTEN, "completion", "completion_truncated", "tags")
OF_PROMPT = (*_PROMPT, "chat_template_kwargs", "tags")
OF_JUDGED = (*OF_PAIR, "completion", "completion_truncated", "label")
OF_RANKED = (*_WRITTEN, "tags", "responses", "ranks")
OF_STEPS = (*_WRITTEN, "tags", "completions", "labels")
TrainOn = Literal["last", "all"]
"""Which of the assistant's turns are learnt."""
_FLAGS = {"true": True, "false": False}
_RUN_UP = 16
"""Characters from which a response that begins with its prompt's text is taken to hold it."""


class RowPrompt(NamedTuple):
    """What comes before a response."""

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    template_kwargs: Mapping[str, Any] = MappingProxyType({})
    """What the chat template is told of this row: column `chat_template_kwargs`."""
    metadata: str = ""
    """Columns that rules read, as one JSON object; empty where there are none."""


class Pair(NamedTuple):
    """Two responses to one prompt, and how sure it is that the first is better.

    A response is one message of the assistant, or several turns that begin and end with one, of which the assistant's are learnt.
    """

    prompt: RowPrompt
    chosen: Messages
    rejected: Messages
    p: float
    """Probability that chosen is better, 0.5 to 1; 1 where the data knows none."""
    margin: float
    """Column `margin`; 0 where there is none."""
    weight: float
    truncated: tuple[bool, bool] = (False, False)
    """Whether chosen and rejected were cut as they were written: columns `chosen_truncated` and `rejected_truncated` of a run."""


class Target(NamedTuple):
    """A prompt and the response to learn: one message, or several turns, as in a pair."""

    prompt: RowPrompt
    response: Messages
    weight: float
    truncated: bool = False
    """Whether the response was cut as it was written: column `completion_truncated`."""


def bad(key: str, got: str, allowed: str = "", fix: str = "") -> UserError:
    """Why a row cannot be trained on. key: its column, empty for the row as a whole; where the row stands, the reader adds."""
    return UserError(Problem("", key, got, allowed, fix))


def pair(row: Mapping[str, Any], told: Told) -> Pair:
    """Columns chosen and rejected, and prompt where they do not begin with it, in any form. Raises UserError."""
    missing = [name for name in _BOTH if row.get(name) is None]
    if missing:
        needed = missing if row.get("prompt") is not None else ["prompt", *missing]
        raise bad("", f"has columns {', '.join(row) or 'none'}", fix=f"add {', '.join(needed)}")
    before, chosen, rejected = _sides(row, told)
    prompt = _prompt(row, before)
    if all(
        isinstance(row[name], str) and _repeats(side[0].content, prompt)
        for name, side in ((_BOTH[0], chosen), (_BOTH[1], rejected))
    ):
        raise bad(
            "chosen and rejected",
            "begin with the prompt, which would be trained on twice",
            fix="keep the responses alone",
        )
    if len(chosen) > 1 or len(rejected) > 1:
        told["the responses of pairs have several turns, of which what the assistant says is compared"] += 1
    p, margin = _number(row, "p_chosen", 1.0), _number(row, "margin", 0.0)
    truncated = (_flag(row, "chosen_truncated"), _flag(row, "rejected_truncated"))
    return checked(Pair(prompt, chosen, rejected, p, margin, weight(row), truncated))


def _sides(row: Mapping[str, Any], told: Told) -> tuple[Messages, Messages, Messages]:
    """(what both answer, chosen, rejected). Raises UserError."""
    with read_as_rows():
        found = shapes.sides(turns(row, told), row["chosen"], row["rejected"], told, empty=True)
        sides = []
        for side in (found.chosen, found.rejected):
            if isinstance(side, BadRow):
                raise side
            sides.append(side)
    for name, side in zip(_BOTH, sides, strict=True):
        if row[name] == side[0].content:
            _check_unrendered(name, side[0].content)
    return found.before, sides[0], sides[1]


@contextmanager
def read_as_rows() -> Iterator[None]:
    """What the reader says of a row becomes what is said of one that cannot be trained on. Raises UserError."""
    try:
        yield
    except BadRow as error:
        raise UserError(error.at("")) from None


def checked(pair: Pair) -> Pair:
    """The pair, if it can be trained on. Raises UserError."""
    if pair.chosen == pair.rejected:
        raise bad("chosen and rejected", "are equal", "two different responses", "leave the row out")
    if not 0.5 <= pair.p <= 1:
        raise bad("p_chosen", f"got {pair.p}", "0.5 to 1", "where rejected is better, swap the two")
    return pair


def target(row: Mapping[str, Any], told: Told, train_on: TrainOn = "last") -> Target:
    """Columns prompt and completion, or messages that end with the assistant's. Raises UserError.

    train_on: of messages, whether the last answer alone is learnt or all are; a prompt's answers are not, and a completion's are.
    """
    if row.get("completion") is None:
        before, response = _answered(row, told, train_on)
        return Target(_prompt(row, before), response, weight(row), _flag(row, "completion_truncated"))
    if all(row.get(name) is None for name in _ASKED):
        raise bad("", f"has columns {', '.join(row)}", fix="add prompt and completion, or messages")
    prompt = prompted(row, told)
    with read_as_rows():
        answer = shapes.answer(
            "completion", shapes.spoken("completion", row["completion"], told), prompt.messages, empty=True
        )
        if isinstance(answer, BadRow):
            raise answer
    if row["completion"] == answer[0].content:
        _check_unrendered("completion", answer[0].content)
        if _repeats(answer[0].content, prompt):
            raise bad(
                "completion",
                "begins with the prompt, which would be trained on twice",
                fix="keep the response alone, or give it as a message where it does repeat the prompt",
            )
    return Target(prompt, answer, weight(row), _flag(row, "completion_truncated"))


def _answered(row: Mapping[str, Any], told: Told, train_on: TrainOn) -> tuple[Messages, Messages]:
    """A conversation that ends with the assistant's message: (what is before the first turn that is learnt, the rest).

    Raises UserError.
    """
    name = next((name for name in _ASKED[1:] if row.get(name)), None)
    if name is None:
        raise bad("", f"has columns {', '.join(row) or 'none'}", fix="add prompt and completion, or messages")
    with read_as_rows():
        messages = shapes.conversation(name, row[name], told, structured=True)
    if not messages:
        raise bad(name, "has no messages", "messages that end with the assistant's")
    if messages[-1].role != "assistant":
        raise bad(name, f"the last to speak is {messages[-1].role}", "the assistant, whose response is learnt")
    begin = len(messages) - 1
    if train_on == "all":  # an answer before anybody asked has no prompt, and is not learnt
        answers = (i for i, message in enumerate(messages) if message.role == "assistant")
        begin = next((i for i in answers if i and messages[i - 1].role in ("user", "tool")), begin)
    return messages[:begin], messages[begin:]


def _repeats(text: str, prompt: RowPrompt) -> bool:
    asked = prompt.messages[-1].content.strip()
    return len(asked) >= _RUN_UP and text.lstrip().startswith(asked)


def weight(row: Mapping[str, Any]) -> float:
    """What the row counts: column weight, 1 where there is none. Raises UserError."""
    given = _number(row, "weight", 1.0)
    if given < 0:
        raise bad("weight", f"got {given}", "0 or more")
    return given


def prompted(row: Mapping[str, Any], told: Told) -> RowPrompt:
    """What comes before the response: column prompt, messages without the assistant's last ones, or what two responses begin with.

    Raises UserError.
    """
    if all(row.get(name) is None for name in _ASKED):
        if any(row.get(name) is None for name in _BOTH):
            raise bad("", f"has columns {', '.join(row) or 'none'}", fix="add prompt, as text or messages")
        return _prompt(row, _sides(row, told)[0])
    with read_as_rows():
        messages = turns(row, told) or ()
    while row.get("prompt") is None and messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    return _prompt(row, messages)


def _prompt(row: Mapping[str, Any], messages: Messages) -> RowPrompt:
    """A conversation with what the row says of it. Raises UserError."""
    if media := next((name for name in MEDIA if row.get(name)), ""):
        raise bad(media, "is not empty, and training reads text alone", fix="leave such rows out, or empty the column")
    given = row.get("prompt")
    if isinstance(given, str) and [m.content for m in messages] == [given]:
        _check_unrendered("prompt", given)
    with read_as_rows():
        system = with_system(messages, row.get("system"))
        tools, tags = shapes.tools(row.get("tools")), shapes.tags(row.get("tags"))
        template_kwargs = shapes.template_kwargs(row.get("chat_template_kwargs"))
    own = next((row[key] for key in ("prompt_id", "id") if row.get(key) not in (None, "")), None)
    name = shapes.name(own) if own is not None else _name(system)
    return answerable(RowPrompt(name, system, tools, tags, template_kwargs))


def answerable(prompt: RowPrompt) -> RowPrompt:
    """The prompt, if a response may follow. Raises UserError."""
    if not prompt.messages or prompt.messages[-1].role in ("assistant", "system"):
        got = prompt.messages[-1].role if prompt.messages else "nobody"
        raise bad("prompt", f"the last to speak is {got}", "the user or a tool, whom the response answers")
    return prompt


def _name(messages: Sequence[Message]) -> str:
    text = json.dumps([message.model_dump(mode="json") for message in messages])
    return digest(text, 8)


def _check_unrendered(name: str, text: str) -> None:
    if found := RENDERED.search(text):
        raise bad(
            name,
            f"holds {found.group()!r}, so it went through a chat template already, which may be another than the model's",
            fix="give messages, or text without the template's marks",
        )


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    known = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value  # a CSV holds texts alone
    if not isinstance(known, bool) and value is not None:
        raise bad(name, f"got {shown(value)}", f"true, false, or no column {name}")
    return bool(known)


def _number(row: Mapping[str, Any], name: str, default: float) -> float:
    value = row.get(name)
    if value is None:
        return default
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise bad(name, f"got {shown(value)}", f"a finite number, or no column {name}")
    return number
