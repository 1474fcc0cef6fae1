"""What the errors of servers mean: a refusal counts as the request's own fault only where the server says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from generation.engines.base import Completion, ErrorReason, failed

_TOO_LONG = (
    "context_length_exceeded", "exceed_context_size", "context length", "context size", "context window",
    "max_model_len", "prompt is too long", "input is too long", "too many input tokens",
)  # fmt: skip
"""How servers say, in codes or words, that a prompt does not fit."""
_POLICY = (
    "content_filter", "content_policy", "content policy", "content management policy", "responsibleaipolicyviolation",
    "moderation", "safety system", "usage policy", "usage policies", "prohibited content", "was flagged",
)  # fmt: skip
"""How they say that they do not answer such a content."""


class ServerFault(NamedTuple):
    """What a server answered in place of a completion, where nothing says that the request is to blame."""

    status: int
    """As HTTP means it; 0 where an answer with status 200 holds an error and no number."""
    words: str
    """The server's own, shortened."""


def read_refusal(status: int, content: str) -> Completion | ServerFault:
    """What an error means: a fact about the request where the server's code or words say so, else the server's fault."""
    stated = " ".join(" ".join(_statements(content)).split())
    words, lower = (stated or " ".join(content.split()))[:300], stated.lower()
    if status in (0, 400, 403, 413, 422, 451):
        if any(mark in lower for mark in _TOO_LONG):
            return failed(ErrorReason.PROMPT_TOO_LONG, words)
        if any(mark in lower for mark in _POLICY):
            return failed(ErrorReason.CONTENT_REFUSED, words)
    return ServerFault(status, words)


def _statements(content: str) -> Iterator[str]:
    """What the server says of an error: its codes and messages, and not the prompt, which some send back beside them."""
    try:
        waiting = [json.loads(content)]
    except (ValueError, RecursionError):
        yield content
        return
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting += [value for key, value in item.items() if key in _STATED_IN]
        elif isinstance(item, list):
            waiting += item


_STATED_IN = frozenset(
    {"error", "detail", "message", "msg", "code", "type", "status", "innererror", "metadata", "reasons"}
)
"""Keys under which servers describe an error."""


def error_status(error: object) -> int:
    """The number of an error inside an answer, 0 where it names none."""
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 0
