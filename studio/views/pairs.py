"""All pairs of a run."""

from __future__ import annotations

from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from generation.output.run import open_run
from studio.pages import page
from studio.state import Studio, View, studio_of
from studio.subject import Kind


def shown(studio: Studio) -> bool:
    """True for a finished run."""
    return studio.subject.kind is Kind.RUN and (studio.subject.path / "manifest.json").is_file()


def list_pairs(request: Request) -> Response:
    """The pairs, side by side."""
    run = open_run(studio_of(request).subject.path)
    return page(request, "pairs.html.jinja", pairs=[*islice(run.pairs(), 50)])


VIEW = View("/pairs", "Pairs", (Route("/pairs", list_pairs),), shown)
