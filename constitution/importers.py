"""Principles that others wrote down, as a constitution of ours: the Constitutional AI paper's two JSON forms, or a plain list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from constitution.principles import Constitution, Principle

_LABEL = re.compile(r"\s*(?:CritiqueRequest|RevisionRequest|Critique|Revision|Options)\s*:\s*")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


class ImportFailed(ValueError):
    """The file has none of the known forms; the message says which they are."""


def read(path: Path, name: str, objective: str) -> Constitution:
    """A constitution with one objective from a JSON file of either form or a text file. Raises ImportFailed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportFailed(f"{path}: cannot be read ({error}); import takes a UTF-8 file") from None
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        data = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if isinstance(data, Mapping):
        principles = [_request(_id(key), value, objective, f"{path}: {key}") for key, value in data.items()]
    elif isinstance(data, list) and all(isinstance(item, str) for item in data):
        principles = [_sentence(f"{objective}-{i + 1}", item, objective) for i, item in enumerate(data)]
    else:
        raise ImportFailed(
            f"{path}: allowed: an object of {{prompt, edit_request}}, a list of strings, or a text with one principle a line"
        )
    if not principles:
        raise ImportFailed(f"{path}: has no principles")
    return Constitution(name=name, version=1, objectives={objective: 1.0}, principles=tuple(principles))


def _request(name: str, value: object, objective: str, place: str) -> Principle:
    """A critique request with its revision request."""
    if not isinstance(value, Mapping) or not isinstance(value.get("edit_request"), str):
        raise ImportFailed(f"{place}: allowed: an object with prompt and edit_request")
    asked = value.get("prompt")
    critique = asked[-1] if isinstance(asked, list) and asked else asked
    if not isinstance(critique, str):
        raise ImportFailed(f"{place}: prompt: allowed: a string or a list of strings")
    revise = _clean(value["edit_request"])
    return Principle(id=name, objective=objective, text=revise, critique=_clean(critique), revise=revise)


def _sentence(name: str, text: str, objective: str) -> Principle:
    """A comparison question ("Which of these ...? Options:"), or a plain principle."""
    text = _clean(_BULLET.sub("", text))
    asks = re.match(r"(?:please\s+)?(?:choose|which|compare|consider|select)\b", text, re.IGNORECASE)
    return Principle(id=name, objective=objective, text=text, compare=text if asks else None)


def _clean(text: str) -> str:
    """The request alone, without the labels that stood around it."""
    return " ".join(_LABEL.sub(" ", text).replace("{{", "{ {").replace("{%", "{ %").split())


def _id(key: str) -> str:
    return (re.sub(r"[^a-z0-9_-]+", "-", key.lower()).strip("-_") or "principle")[:64]
