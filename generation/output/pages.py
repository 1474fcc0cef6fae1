"""Renders pages: HTML that runs nothing, fetches nothing and shows every text as text; and markdown."""

from __future__ import annotations

import base64
from functools import cache
from hashlib import sha256
from pathlib import Path

import regex
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

_FOLDER = Path(__file__).parent / "templates"
_UNSEEN = regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}--\n\t\u200c\u200d]", regex.VERSION1)
"""What would not be seen, or would reorder what is: controls, formats (bidi, zero width), surrogates, unassigned. Joiners stay:
Persian and emoji are written with them."""


def render_html(template: Path, **variables: object) -> str:
    """A page from a template that extends `base.html.jinja`. Every variable is text, never markup.

    The page's policy allows one style sheet, known by its hash, and images in `data:` addresses: no script, no request.
    """
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    known = base64.b64encode(sha256(style.encode()).digest()).decode()
    environment = _environment(template.parent, html=True)
    return environment.get_template(template.name).render(**variables, style=Markup(style), style_hash=known)


def render_markdown(template: Path, **variables: object) -> str:
    """A markdown file; the template fences whatever comes from models."""
    environment = _environment(template.parent, html=False)
    return environment.get_template(template.name).render(**variables)


def visible(value: object) -> object:
    """A text in which characters that cannot be seen are written as `[U+202E]`; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)


@cache
def _environment(folder: Path, html: bool) -> ImmutableSandboxedEnvironment:
    """For templates of a folder, each of which is compiled once."""
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([folder, _FOLDER]),
        undefined=StrictUndefined,
        autoescape=html,
        finalize=visible if html else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
