"""Secrets kept out of sight: whatever a server or an exception says is masked before it is kept, printed or logged."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "[secret]"
_SHORT = 6
"""Characters of a value, fewer than which are a word such as `EMPTY` rather than a secret: it stands in texts of its own right."""
_PREFIX = 12
"""Characters of a secret's beginning that are always needed to know it by."""


class Secrets:
    """The values that must not be seen, in every form in which servers repeat them."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        self._begins = {form[: _begin(form)].lower() for form in forms}
        self._pattern = re.compile("|".join(map(_pattern, forms)), re.IGNORECASE) if forms else None

    def __repr__(self) -> str:
        return "Secrets()"

    def mask(self, text: str) -> str:
        """The text without secrets."""
        lower = text.lower()
        if self._pattern is None or not any(begin in lower for begin in self._begins):
            return text
        return self._pattern.sub(MASK, text)


def _begin(form: str) -> int:
    """Characters by which a form is known: servers shorten what they repeat, so its first half counts as the whole."""
    return max(_PREFIX, len(form) // 2)


def _pattern(form: str) -> str:
    begin = _begin(form)
    rest = "".join(sorted(set(form[begin:])))
    return re.escape(form[:begin]) + (f"[{re.escape(rest)}]*" if rest else "")


def _forms(value: str) -> Iterator[str]:
    """A value as it stands and as it is written in URLs, JSON, HTML and base64."""
    parts = {value, *value.split(":", 1), value.removeprefix("Bearer ").removeprefix("Basic ")}
    for part in map(str.strip, parts):
        if len(part) < _SHORT:
            continue
        plain = {part, quote(part), quote(part, safe=""), quote_plus(part), quote(quote(part, safe=""), safe="")}
        plain |= {
            json.dumps(part)[1:-1],
            json.dumps(part)[1:-1].replace("/", "\\/"),
            html.escape(part),
            repr(part)[1:-1],
        }
        plain |= {part.encode().hex(), *_base64(part.encode())}
        yield from plain


def _base64(value: bytes) -> Iterator[str]:
    """What is the same in base64 wherever the value begins in the text that is encoded: at each of three alignments."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + value).decode().rstrip("=")
        certain = whole[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        if len(certain) >= _SHORT:
            yield certain
            yield certain.replace("+", "-").replace("/", "_")
