"""Pairs whose better reply nobody doubts. A run judges some along; how many it gets right tells how well its judges are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from constitution.records import Message, Strict

FILE = Path(__file__).parent / "data" / "controls.jsonl"


class ControlError(ValueError):
    """The file of controls cannot be used; the message lists every problem with its place."""


class Control(Strict):
    """One line of the file: a pair with a known answer."""

    kind: str = Field(pattern=r"^[a-z][a-z_]*$")
    """What is wrong with the rejected reply; each a different way to fail a judge."""
    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: tuple[Message, ...] = Field(min_length=1, max_length=1)
    rejected: tuple[Message, ...] = Field(min_length=1, max_length=1)


def load(path: Path = FILE) -> tuple[Control, ...]:
    """The controls of a JSONL file, by default those that are shipped; the first ones span most kinds.

    Raises ControlError with every problem.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ControlError(f"{path}: cannot be read ({error}); allowed: JSONL in UTF-8") from None
    controls: list[Control] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            control = Control.model_validate_json(line)
        except ValidationError as error:
            problems += [f"{path}:{number}: {_explain(dict(problem))}" for problem in error.errors(include_url=False)]
            continue
        if control.chosen == control.rejected:
            problems.append(f"{path}:{number}: chosen and rejected are equal; allowed: two different replies")
        controls.append(control)
    if not controls and not problems:
        problems.append(f"{path}: holds no control; each line needs {', '.join(Control.model_fields)}")
    if problems:
        raise ControlError("\n".join(problems))
    return tuple(controls)


def _explain(problem: dict[str, object]) -> str:
    """Key, what is wrong, what was given, what is allowed."""
    place = problem["loc"]
    assert isinstance(place, tuple)
    key = ".".join(map(str, place)) or "the line"
    if problem["type"] in ("extra_forbidden", "missing"):
        wrong = "unknown key" if problem["type"] == "extra_forbidden" else "is missing"
        return f"{key}: {wrong}; allowed: {', '.join(Control.model_fields)}"
    return f"{key}: {problem['msg']} (got {problem['input']!r:.80})"
