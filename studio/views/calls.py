"""What a model read and what it answered, as `solon calls show` prints it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.data.calls import calls_about
from studio.data.index import index_of
from studio.pages import page
from studio.state import View, is_run, studio_of


def show_calls(request: Request) -> Response:
    """The calls about a prompt; of a pair where the address names two responses; of one voter where it names one."""
    given, run = request.query_params, studio_of(request).subject.path
    both = frozenset(name for name in (given.get("a", ""), given.get("b", "")) if name)
    found = calls_about(run, given.get("prompt", ""), both, given.get("voter", ""), index_of(run))
    return page(request, "calls.html.jinja", calls=found, prompt=given.get("prompt", ""), both=sorted(both))


VIEW = View("", "Calls", (Route("/calls", show_calls),), is_run)
