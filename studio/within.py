"""Studios within a studio: of the rounds of a loop, of the second run, of runs that were asked again.

Each lies under `/within/NAME`. The names are those of what the studio itself knows of, so that none leads anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from constitution.errors import UserError
from studio.state import Linked, Studio
from studio.subject import Kind, subject_of
from training.loop.steps import parts

WITHIN = "/within/"


class Within:
    """A studio's application, and those of what it leads to."""

    def __init__(self, studio: Studio, build: Callable[[Studio], ASGIApp]) -> None:
        """build: makes the application of one studio."""
        self._studio, self._build = studio, build
        self._own = build(studio)
        self._made: dict[tuple[str, Linked], Within] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, by the studio that its path is in."""
        start = f"{self._studio.root}{WITHIN}"
        name, slash, _ = scope.get("path", "").removeprefix(start).partition("/")
        found = linked(self._studio).get(name) if slash and scope["path"].startswith(start) else None
        if found is None:
            await self._own({**scope, "root_path": self._studio.root}, receive, send)
        else:
            await self._app(name, found)(scope, receive, send)

    def _app(self, name: str, found: Linked) -> Within:
        key = name, found
        if key not in self._made:
            above = (*self._studio.above, self._studio)
            root = f"{self._studio.root}{WITHIN}{name}"
            self._made[key] = Within(Studio(found.subject, found.against, root=root, above=above), self._build)
        return self._made[key]


def linked(studio: Studio) -> dict[str, Linked]:
    """Name -> what a studio leads to."""
    found = dict(studio.made)
    if studio.against:
        found["against"] = Linked(studio.against)
    if studio.subject.kind is Kind.LOOP:
        for part in parts(studio.subject.path):
            with suppress(UserError):  # it is not begun
                found[part.label] = Linked(subject_of(part.path))
    return found
