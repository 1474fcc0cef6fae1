"""The studio as an application: routes of all views behind the guard."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from constitution.command import fault
from constitution.errors import UserError
from studio.pages import page
from studio.security import Access, Guard
from studio.state import Studio, View, studio_of
from studio.views import calls, compare, edit, failures, live, overview, pair, pairs, policy, review
from studio.within import Within

VIEWS: tuple[View, ...] = (
    overview.VIEW, pairs.VIEW, edit.VIEW, review.VIEW, failures.VIEW, compare.VIEW, live.VIEW, policy.VIEW, pair.VIEW, calls.VIEW,
)  # fmt: skip
"""All of them, in the navigation's order."""
STATIC = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Media types of the files that pages load."""


def build(studio: Studio, access: Access) -> Guard:
    """The application that a server runs."""
    return Guard(Within(studio, pages_of), access)


def pages_of(studio: Studio) -> Starlette:
    """The pages of one studio."""
    studio.views = VIEWS
    handlers = {UserError: _refused, HTTPException: _missing, Exception: _broken}
    app = Starlette(routes=ROUTES, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.studio = studio
    app.state.under_way = {}  # what the editor asks
    return app


def _first(request: Request) -> Response:
    """The first view that has a page."""
    studio = studio_of(request)
    path = next((view.path for view in studio.views if view.path and view.shown(studio)), "")
    return (
        RedirectResponse(f"{studio.root}{path}", 303)
        if path
        else page(request, "message.html.jinja", title="Nothing to show", lines=[])
    )


def _static() -> list[Route]:
    """Files by their names, read now: no path of a request ever reaches the disk."""
    return [_file(path.name, path.read_bytes(), KINDS[path.suffix]) for path in sorted(STATIC.iterdir())]


def _file(name: str, body: bytes, kind: str) -> Route:
    return Route(f"/static/{name}", lambda request: Response(body, media_type=kind), name=name)


ROUTES = (Route("/", _first), *_static(), *(route for view in VIEWS for route in view.routes))
"""Every path that is answered, beside the first address."""


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    return _say(request, 400, "This cannot be done", str(error).splitlines())


def _missing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _say(request, error.status_code, "Nothing is here" if error.status_code == 404 else error.detail, [])


def _broken(request: Request, error: Exception) -> Response:
    return _say(request, 500, "This is a fault of Solon", fault(error).split("\n"))


def _say(request: Request, status: int, title: str, lines: list[str]) -> Response:
    """To a page as a page; to the script, which sends JSON, as JSON."""
    if request.method == "POST":
        return JSONResponse({"error": title, "lines": lines}, status)
    return page(request, "message.html.jinja", status=status, title=title, lines=lines)
