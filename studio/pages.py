"""Pages from templates: every variable is text, never markup, and a name that is missing is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from generation.output.pages import visible
from studio.state import studio_of

TEMPLATES = Path(__file__).parent / "templates"


def page(request: Request, template: str, /, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page from a template that extends `base.html.jinja`."""
    studio = studio_of(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            **values, subject=studio.subject, views=[view for view in studio.views if view.path], here=request.url.path
        )
    )
    return HTMLResponse(text, status)


def fragment(template: str, /, **values: object) -> HTMLResponse:
    """A part of a page, for the studio's own script to put in place."""
    return HTMLResponse(text_of(template, **values))


def text_of(template: str, /, **values: object) -> Markup:
    """The same as markup, for a page to hold."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
