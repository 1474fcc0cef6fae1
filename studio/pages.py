"""Pages from templates: every variable is text, never markup, and a name that is missing is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from critics.transcript import message_text
from generation.output.pages import visible
from studio.state import Linked, Studio, studio_of

TEMPLATES = Path(__file__).parent / "templates"


def page(request: Request, template: str, /, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page from a template that extends `base.html.jinja`."""
    studio = studio_of(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            **values,
            root=studio.root,
            subject=studio.subject,
            above=studio.above,
            doors=_doors(studio),
            views=[view for view in studio.views if view.path and view.shown(studio)],
            here=request.url.path.removeprefix(studio.root),
        )
    )
    return HTMLResponse(text, status)


def fragment(request: Request, template: str, /, **values: object) -> HTMLResponse:
    """A part of a page, for the studio's own script to put in place."""
    return HTMLResponse(text_of(studio_of(request), template, **values))


def text_of(studio: Studio, template: str, /, **values: object) -> Markup:
    """The same as markup, for a page to hold."""
    return Markup(_environment().get_template(template).render(**values, root=studio.root))


def _doors(studio: Studio) -> list[tuple[str, str]]:
    """(path, name) of the runs that can be opened from every page."""
    found = {**studio.made, **({"against": Linked(studio.against)} if studio.against else {})}
    return [(f"{studio.root}/within/{name}/", (one.against or one.subject).name) for name, one in found.items()]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["message_text"] = message_text
    return environment
