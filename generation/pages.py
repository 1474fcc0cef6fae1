"""Renders the pages of a run: the dataset card and the report."""

from __future__ import annotations

from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

_FOLDER = Path(__file__).parent / "templates"


def render_html(name: str, **variables: object) -> str:
    """A page in which every variable is text, never markup."""
    return _environment(autoescape=True).get_template(name).render(**variables)


def render_markdown(name: str, **variables: object) -> str:
    """A markdown file; the template fences whatever comes from models."""
    return _environment(autoescape=False).get_template(name).render(**variables)


def _environment(autoescape: bool) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
