"""What the pages of one studio share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

from starlette.requests import Request
from starlette.routing import Route

from constitution.errors import Problem, UserError
from generation.output.manifest import NAME
from studio.data.index import Index, index_of
from studio.subject import Kind, Subject


class Linked(NamedTuple):
    """What a studio leads to."""

    subject: Subject
    against: Subject | None = None


@dataclass(slots=True)
class Studio:
    """An open studio: what it shows. Handlers get it by `studio_of`."""

    subject: Subject
    against: Subject | None = None
    """A second run, to be shown beside the first."""
    tested: Path | None = None
    """What `solon constitution test --json` wrote."""
    views: Sequence[View] = ()
    """All of them, in the navigation's order."""
    root: str = ""
    """The path under which its pages lie."""
    above: tuple[Studio, ...] = ()
    """Those that it lies within, the outermost first."""
    made: dict[str, Linked] = field(default_factory=dict)
    """Name -> a run that was made from here."""


class View(NamedTuple):
    """A part of the studio: a place in the navigation, and its routes."""

    path: str
    """Where its link leads, as `/pairs`; empty for one without a link."""
    title: str
    """What the link says."""
    routes: Sequence[Route]
    shown: Callable[[Studio], bool] = lambda studio: True
    """False while it has nothing to show of the subject: a run may be finished later."""


def studio_of(request: Request) -> Studio:
    """The studio that a request is for."""
    return cast(Studio, request.app.state.studio)


def is_run(studio: Studio) -> bool:
    """True where the subject is a run, finished or not."""
    return studio.subject.kind is Kind.RUN


def finished(studio: Studio) -> bool:
    """True where the subject is a finished run."""
    return studio.subject.kind is Kind.RUN and (studio.subject.path / NAME).is_file()


def index_at(request: Request) -> Index:
    """The index of the run that a request is for. Raises UserError where the run is not finished."""
    subject = studio_of(request).subject
    found = index_of(subject.path) if subject.kind is Kind.RUN else None
    if found is None:
        raise UserError(
            Problem(subject.name, got="is no finished run", fix="this page is there when the run is finished")
        )
    return found
