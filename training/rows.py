"""Rows -> pairs, targets and prompts, or everything that is wrong with them, said at once before anything loads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

import regex
from pydantic import ValidationError

from constitution.records import Message
from critics.transcript import spoken
from evaluation.inputs import InputError
from training.config import Training
from training.sources import Kind, Raw, read

SHOWN = 20
"""Problems that a message lists."""
RENDERED = regex.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]|<\|(?:user|assistant|system)\|>|<\|turn>|<｜User｜>"
)
"""Signs that a text went through some model's chat template already."""
_RUN_UP = 16
"""Characters from which a reply that begins with its prompt's text is taken to hold it."""


class Prompted(NamedTuple):
    """What comes before a reply."""

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()


class Pair(NamedTuple):
    """Two replies to one prompt, and how sure it is that the first is better."""

    prompt: Prompted
    chosen: str
    rejected: str
    p: float
    """Probability that chosen is better, 0.5 to 1; 1 where the data knows none."""
    margin: float
    """Column `margin`; 0 where there is none."""
    weight: float


class Target(NamedTuple):
    """A prompt and the reply to learn."""

    prompt: Prompted
    reply: str
    weight: float


class Split(NamedTuple):
    """Rows to train on and rows held out."""

    train: list[Any]
    test: list[Any]


class _Bad(ValueError):
    """Why a row cannot be trained on."""


Row = TypeVar("Row", Pair, Target, Prompted)


def pairs(settings: Training) -> Split:
    """Preference pairs of every source. Raises InputError with up to 20 problems."""
    return _collect(settings, "preferences", _pair, "prompt, chosen and rejected")


def targets(settings: Training) -> Split:
    """Replies to imitate: columns prompt and completion, or messages that end with the assistant's. Raises InputError."""
    return _collect(settings, "sft", _target, "prompt and completion, or messages")


def prompts(settings: Training) -> Split:
    """Different prompts, whatever came after them. Raises InputError."""
    split = _collect(settings, "preferences", lambda row, _: _prompted(row), "prompt, or messages")
    return Split(*(list({_key(p): p for p in part}.values()) for part in split))


def _collect(settings: Training, kind: Kind, make: Callable[[Mapping[str, Any], float], Row], needed: str) -> Split:
    if not settings.data:
        raise InputError("--data: got none; name a run folder, as in --data runs/NAME")
    split, problems = Split([], []), list[str]()
    for spec, weight in settings.data.items():
        for raw in read(spec, kind, settings.limit):
            try:
                row = make(raw.row, weight)
            except _Bad as error:
                problems.append(f"{raw.place}: {error}")
                if len(problems) >= SHOWN:
                    raise _refused(spec, problems, needed) from None
                continue
            (split.test if _held_out(raw, row, settings.test_fraction) else split.train).append(row)
        if problems:
            raise _refused(spec, problems, needed)
    if not split.train:
        names = ", ".join(settings.data)
        raise InputError(f"--data {names}: holds no row to train on; each row needs {needed}")
    return split


def _refused(spec: str, problems: Sequence[str], needed: str) -> InputError:
    more = f"\n(the first {SHOWN} problems)" if len(problems) >= SHOWN else ""
    return InputError(
        f"--data {spec}: some rows cannot be trained on; each needs {needed}\n" + "\n".join(problems) + more
    )


def _held_out(raw: Raw, row: Pair | Target | Prompted, fraction: float) -> bool:
    if raw.split:
        return raw.split == "test"
    prompt = row if isinstance(row, Prompted) else row.prompt
    return int.from_bytes(blake2b(_key(prompt).encode(), digest_size=8).digest(), "big") < fraction * 2**64


def _key(prompt: Prompted) -> str:
    return json.dumps([m.model_dump(mode="json") for m in prompt.messages])


def _pair(row: Mapping[str, Any], weight: float) -> Pair:
    missing = [name for name in ("prompt", "chosen", "rejected") if row.get(name) is None]
    if missing:
        raise _Bad(f"has columns {', '.join(row) or 'none'}; missing {', '.join(missing)}")
    prompt = _prompted(row)
    chosen, rejected = (_reply(name, row[name], prompt) for name in ("chosen", "rejected"))
    if chosen == rejected:
        raise _Bad("chosen and rejected are equal; allowed are two different replies: leave the row out")
    p = _number(row, "p_chosen", 1.0)
    if not 0.5 <= p <= 1:
        raise _Bad(f"p_chosen: got {p}; allowed is 0.5 to 1: where rejected is better, swap the two")
    margin = _number(row, "margin", 0.0)
    own = _number(row, "weight", 1.0)
    if own < 0:
        raise _Bad(f"weight: got {own}; allowed is 0 or more")
    return Pair(prompt, chosen, rejected, p, margin, weight * own)


def _target(row: Mapping[str, Any], weight: float) -> Target:
    if row.get("completion") is None and isinstance(row.get("messages"), list) and row["messages"]:
        *before, last = row["messages"]
        row = {**row, "prompt": before, "completion": [last]}
    if row.get("prompt") is None or row.get("completion") is None:
        raise _Bad(f"has columns {', '.join(row) or 'none'}; add prompt and completion, or messages")
    prompt = _prompted(row)
    return Target(prompt, _reply("completion", row["completion"], prompt), weight * _number(row, "weight", 1.0))


def _prompted(row: Mapping[str, Any]) -> Prompted:
    said = row["prompt"] if row.get("prompt") is not None else row.get("messages")
    if said is None:
        raise _Bad(f"has columns {', '.join(row) or 'none'}; add prompt, as text or messages")
    messages = _messages("prompt", [{"role": "user", "content": said}] if isinstance(said, str) else said)
    if isinstance(said, str):
        _plain("prompt", said)
    while row.get("prompt") is None and messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    if not messages or messages[-1].role in ("assistant", "system"):
        got = messages[-1].role if messages else "nobody"
        raise _Bad(f"prompt: the last to speak is {got}; allowed is the user or a tool, whom the reply answers")
    tools = row.get("tools") or ()
    name = str(row.get("prompt_id") or row.get("id") or "")
    tags = row.get("tags") or ()
    prompt = Prompted(name, messages, tuple(tools), tuple(map(str, tags)) if isinstance(tags, list | tuple) else ())
    return prompt if name else prompt._replace(id=blake2b(_key(prompt).encode(), digest_size=8).hexdigest())


def _reply(name: str, value: object, prompt: Prompted) -> str:
    if isinstance(value, str):
        _plain(name, value)
        asked = prompt.messages[-1].content.strip()
        if len(asked) >= _RUN_UP and value.lstrip().startswith(asked):
            raise _Bad(f"{name}: begins with the prompt, which would be trained on twice; keep the reply alone")
        text = value
    else:
        messages = _messages(name, value)
        if len(messages) > len(prompt.messages) and messages[: len(prompt.messages)] == prompt.messages:
            raise _Bad(f"{name}: holds the prompt's messages, which would be trained on twice; keep the reply alone")
        if [m.role for m in messages] != ["assistant"]:
            roles = ", ".join(m.role for m in messages) or "none"
            raise _Bad(f"{name}: got messages of {roles}; allowed is one message of the assistant, or text")
        text = spoken(messages[0])
    return text


def _messages(name: str, value: object) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple):
        raise _Bad(f"{name}: got a {type(value).__name__}; allowed is text or a list of messages")
    try:
        return tuple(
            Message.model_validate({k: v for k, v in turn.items() if v is not None} if isinstance(turn, dict) else turn)
            for turn in value
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _Bad(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']} (got {first['input']!r:.80})") from None


def _plain(name: str, text: str) -> None:
    if found := RENDERED.search(text):
        raise _Bad(
            f"{name}: holds {found.group()!r}, so it went through a chat template already, which may be another than the "
            "model's; give messages, or text without the template's marks"
        )


def _number(row: Mapping[str, Any], name: str, default: float) -> float:
    value = row.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Bad(f"{name}: got {value!r}; allowed is a finite number")
    return float(value)
