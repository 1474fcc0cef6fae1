"""What is wrong with a file given to an evaluation, said with its place and its fix."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError


class InputError(ValueError):
    """A file or an option cannot be used; the message names the place, the value, what is allowed and the fix."""


def explain(error: ValidationError, place: str, model: type[BaseModel]) -> str:
    """One line for each problem of a row."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            lines.append(f"{place}: {key}: unknown key; allowed: {', '.join(model.model_fields)}")
        elif problem["type"] == "missing":
            lines.append(f"{place}: {key}: is missing; allowed keys: {', '.join(model.model_fields)}")
        else:
            got = "" if problem["type"] == "value_error" else f" (got {problem['input']!r:.80})"
            lines.append(f"{place}: {key + ': ' if key else ''}{problem['msg'].removeprefix('Value error, ')}{got}")
    return "\n".join(lines)
