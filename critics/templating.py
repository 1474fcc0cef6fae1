"""Renders the prompt templates. Texts from people, datasets and models enter only as variables, never as templates."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache, lru_cache
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from constitution.digest import hasher
from constitution.errors import Problem, UserError
from constitution.principles import Principle

FOLDER = Path(__file__).parent / "templates"
MAX_CHARACTERS = 4_000_000
"""Cap on one rendered prompt: four times the largest cell that is read."""
KEPT = 256
"""Pieces of prompts that are kept. Questions about the same responses are asked together, so few are in use at a time."""

_environment = ImmutableSandboxedEnvironment(
    loader=FileSystemLoader(FOLDER),
    undefined=StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def _template(name: str) -> Template:
    return _environment.get_template(name)


def render(name: str, **variables: object) -> str:
    """Render the template file `name`. Raises UserError when the output passes MAX_CHARACTERS."""
    pieces: list[str] = []
    room = MAX_CHARACTERS
    for piece in _template(name).generate(**variables):
        room -= len(piece)
        if room < 0:
            fix = "shorten the conversation or its responses"
            raise UserError(Problem(name, "", "the rendered prompt is too long", f"{MAX_CHARACTERS:,} characters", fix))
        pieces.append(piece)
    return "".join(pieces).strip()


@lru_cache(maxsize=KEPT)
def render_once(name: str, **variables: Hashable) -> str:
    """As `render`, and kept: what all questions about the same responses begin with, or a question that is put about many."""
    return render(name, **variables)


def digest() -> str:
    """Hex digest over every template file, and the requests that are built for principles: part of a run's provenance."""
    probe = Principle(id="probe", objective="probe", text="probe")
    h = hasher()
    h.update(
        "\0".join((probe.critique_request, probe.revise_request, probe.compare_request, probe.ask_request)).encode()
    )
    for path in sorted(FOLDER.glob("*.jinja")):
        h.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()
