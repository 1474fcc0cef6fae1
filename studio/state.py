"""What the pages of one studio share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from starlette.requests import Request
from starlette.routing import Route

from studio.subject import Subject


@dataclass(slots=True)
class Studio:
    """An open studio: what it shows. Handlers get it by `studio_of`."""

    subject: Subject
    against: Subject | None = None
    """A second run, to be shown beside the first."""
    views: Sequence[View] = ()
    """Those that have something to show of the subject, in the navigation's order."""


class View(NamedTuple):
    """A part of the studio: a place in the navigation, and its routes."""

    path: str
    """Where its link leads, as `/pairs`; empty for one without a link."""
    title: str
    """What the link says."""
    routes: Sequence[Route]
    shown: Callable[[Studio], bool] = lambda studio: True
    """False where it has nothing to show of the subject; then it has no routes either."""


def studio_of(request: Request) -> Studio:
    """The studio that a request is for."""
    return cast(Studio, request.app.state.studio)
