"""Principles that others wrote down, as a constitution of ours: the Constitutional AI paper's two JSON forms, or a plain list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from constitution.errors import Problem, UserError, problems_of, shown
from constitution.principles import Constitution, slug

_LABEL = re.compile(r"(?:CritiqueRequest|RevisionRequest|Critique|Revision|Options)\s*+:")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


def read(path: Path, name: str, objective: str) -> Constitution:
    """A constitution with one objective from a JSON file of either form, or a text file with a principle a line.

    Raises UserError where the file has none of these forms.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, f"cannot be read ({error})", "a UTF-8 file") from None
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        data = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if isinstance(data, Mapping):
        principles = [_request(path, str(key), value, objective) for key, value in data.items()]
    elif isinstance(data, list) and all(isinstance(item, str) for item in data):
        principles = [_sentence(f"{objective}-{i + 1}", item, objective) for i, item in enumerate(data)]
    else:
        allowed = "an object of {prompt, edit_request}, a list of strings, or a text with one principle a line"
        raise _wrong(path, f"got {type(data).__name__}", allowed)
    if not principles:
        raise _wrong(path, "has no principles")
    fields = {"name": name, "version": 1, "objectives": {objective: 1.0}, "principles": principles}
    try:
        return Constitution.model_validate(fields)
    except ValidationError as error:
        raise UserError(problems_of(error, Constitution, str(path))) from None


def _wrong(path: Path, got: str, allowed: str = "", key: str = "") -> UserError:
    return UserError(Problem(str(path), key, got, allowed))


def _request(path: Path, key: str, value: object, objective: str) -> dict[str, str]:
    """A critique request with its revision request."""
    if not isinstance(value, Mapping) or not isinstance(value.get("edit_request"), str):
        raise _wrong(path, f"got {shown(value)}", "an object with prompt and edit_request", key)
    asked = value.get("prompt")
    critique = asked[-1] if isinstance(asked, list) and asked else asked
    if not isinstance(critique, str):
        raise _wrong(path, f"got {shown(asked)}", "a string or a list of strings", f"{key}.prompt")
    revise = _clean(value["edit_request"])
    name = slug(key) or "principle"
    return {"id": name, "objective": objective, "text": revise, "critique": _clean(critique), "revise": revise}


def _sentence(name: str, text: str, objective: str) -> dict[str, str]:
    """A comparison question ("Which of these ...? Options:"), or a plain principle."""
    text = _clean(_BULLET.sub("", text))
    asks = re.match(r"(?:please\s+)?(?:choose|which|compare|consider|select)\b", text, re.IGNORECASE)
    return {"id": name, "objective": objective, "text": text, **({"compare": text} if asks else {})}


def _clean(text: str) -> str:
    """The request alone, without the labels that stood around it."""
    return " ".join(_LABEL.sub(" ", text).replace("{{", "{ {").replace("{%", "{ %").split())
