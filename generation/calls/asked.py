"""What calls asked, kept so that a person can read it: each text once, however many calls it is part of.

A judge's prompts about one pair of responses differ in their last lines alone, so a prompt is kept as its beginning, which they
share, and its end, which is the same for every pair.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from constitution.digest import SIZE, digest
from critics.transcript import message_text
from generation.engines.base import Request

_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LEVEL = 3


class Asked(NamedTuple):
    """One call's question."""

    form: Mapping[str, Any]
    """Its parameters, such as max_tokens and labels."""
    messages: tuple[tuple[str, str], ...]
    """Role and text of each message; none where the prompt was given as token ids alone."""
    tools: str


def asked(request: Request) -> tuple[bytes, dict[bytes, str]]:
    """What is kept of a request: the digests of its texts, one after the other, and the texts by digest."""
    texts: list[str] = []
    shape = []
    for message in request.messages:
        parts = split(message_text(message))
        shape.append([message.role, len(parts)])
        texts += parts
    if request.tools:
        texts.append(request.tools)
    s = request.sampling
    form: dict[str, Any] = {
        "messages": shape,
        "max_tokens": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
    }
    more = {
        "stop": s.stop,
        "ends": s.ends,
        "labels": [label for label, _ in request.labels],
        "scored": bool(request.scored),
        "tools": bool(request.tools),
        "tokens": 0 if request.messages else len(request.tokens),
        "schema": request.schema,
    }
    form |= {name: value for name, value in more.items() if value}
    texts.insert(0, _encode_json(form))
    named = [(_digest(text), text) for text in texts]
    return b"".join(name for name, _ in named), dict(named)


def split(text: str) -> list[str]:
    """A text as its beginning up to the end of the last block, whose delimiter ends in a line of its own, and the rest."""
    delimiter = text.rfind("\n</")
    cut = text.find("\n", delimiter + 1) + 1 if delimiter >= 0 else 0
    return [text[:cut], text[cut:]] if 0 < cut < len(text) else [text]


def digests(names: bytes) -> list[bytes]:
    """The digests in a call's row."""
    return [names[start : start + SIZE] for start in range(0, len(names), SIZE)]


def read(names: bytes, find: Callable[[bytes], bytes | None]) -> Asked | None:
    """What a call asked. find: the body of a text by digest. None where a text is not there."""
    bodies = [find(name) for name in digests(names)]
    if not bodies or None in bodies:
        return None
    form_text, *texts = [unpack(body) for body in bodies if body is not None]
    form = json.loads(form_text)
    rest = iter(texts)
    messages = tuple((role, "".join(next(rest) for _ in range(count))) for role, count in form.pop("messages"))
    return Asked(form, messages, next(rest) if form.pop("tools", False) else "")


def pack(text: str) -> bytes:
    """A text as it is on disk."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"), _LEVEL)


def unpack(body: bytes) -> str:
    """The text again."""
    return zlib.decompress(body).decode("utf-8", "surrogatepass")


@lru_cache(maxsize=64)
def _digest(text: str) -> bytes:
    """Of a text; the beginnings of prompts come again soon."""
    return bytes.fromhex(digest(text.encode("utf-8", "surrogatepass")))
