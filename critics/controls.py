"""Control pairs: the better response is known. A run judges some of them too; the share it gets right measures its judges."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from constitution.errors import Problem, Problems, UserError, problems_of
from constitution.records import Message, Strict

FILE = Path(__file__).parent / "data" / "controls.jsonl"


class Control(Strict):
    """One line of the file: a pair with a known answer."""

    kind: str = Field(pattern=r"^[a-z][a-z_]*$")
    """What is wrong with the rejected response; each a different way to fail a judge."""
    prompt: tuple[Message, ...] = Field(min_length=1)
    """The conversation."""
    chosen: tuple[Message, ...] = Field(min_length=1, max_length=1)
    """The better response, one message of the assistant."""
    rejected: tuple[Message, ...] = Field(min_length=1, max_length=1)
    """The worse response, one message of the assistant."""


def load(path: Path = FILE) -> tuple[Control, ...]:
    """The controls of a JSONL file, by default those that are shipped; the first ones span most kinds.

    Raises UserError with every problem.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(Problem(str(path), got=f"cannot be read ({error})", allowed="JSONL in UTF-8")) from None
    controls: list[Control] = []
    problems = Problems()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            control = Control.model_validate_json(line)
        except ValidationError as error:
            problems.found += problems_of(error, Control, place)
            continue
        if control.chosen == control.rejected:
            problems.add(place, got="chosen and rejected are equal", allowed="two different responses")
        controls.append(control)
    if not controls and not problems.found:
        problems.add(str(path), got="has no control pair", fix=f"each line needs {', '.join(Control.model_fields)}")
    problems.check()
    return tuple(controls)
