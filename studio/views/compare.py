"""Two runs side by side: which pairs flipped, appeared or are gone, and whose votes did it."""

from __future__ import annotations

import math
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from constitution.errors import Problem, UserError
from evaluation.diff.runs import PairSide, RunDiff
from studio.data.difference import difference_of
from studio.data.index import Index, Listed, index_of
from studio.pages import page
from studio.state import Studio, View, index_at, studio_of
from studio.subject import Kind

SIZE = 20
"""Pairs of a page."""
KINDS = ("flipped", "appeared", "disappeared")


class Moved(NamedTuple):
    """A voter whose vote on a flipped pair changed sides, or that voted in one run only. In log-odds for A's chosen response."""

    voter: str
    before: float | None
    after: float | None


class Shown(NamedTuple):
    """A pair that is not as it was."""

    pair: Listed | None
    """As run A lists it; as run B does where it appeared there."""
    old: PairSide | None
    new: PairSide | None
    moved: list[Moved]


def compare(request: Request) -> Response:
    """The difference, and a page of the pairs of one kind."""
    a, b = index_at(request), _other(studio_of(request))
    kind, number = request.query_params.get("kind", KINDS[0]), request.query_params.get("page", "1")
    if kind not in KINDS or not (number.isascii() and number.isdigit() and 0 < len(number) < 9 and int(number) > 0):
        raise UserError(Problem("", "kind, page", f"got {kind!r}, {number!r}", f"{', '.join(KINDS)}; a number from 1"))
    voter = request.query_params.get("voter", "")
    diff = difference_of(a, b)
    sides = _sides(diff, kind, voter)
    start = (int(number) - 1) * SIZE
    return page(
        request,
        "compare.html.jinja",
        other=studio_of(request).against,
        diff=diff,
        counts={name: len(getattr(diff, name)) for name in KINDS},
        kind=kind,
        voter=voter,
        more=urlencode({"kind": kind, **({"voter": voter} if voter else {})}),
        number=int(number),
        pages=max(1, math.ceil(len(sides) / SIZE)),
        pairs=[_shown(old, new, b if old is None else a) for old, new in sides[start : start + SIZE]],
        voters=sorted(diff.voters.items(), key=lambda item: (-item[1].flips, -item[1].mean_move, item[0])),
    )


def _sides(diff: RunDiff, kind: str, voter: str) -> list[tuple[PairSide | None, PairSide | None]]:
    """How each run labelled the pairs of one kind; of those that flipped, the ones in which a voter did."""
    if kind == "flipped":
        return [one for one in diff.flipped if not voter or any(moved.voter == voter for moved in _moved(*one))]
    return [(None, new) for new in diff.appeared] if kind == "appeared" else [(old, None) for old in diff.disappeared]


def _other(studio: Studio) -> Index:
    found = index_of(studio.against.path) if studio.against else None
    if found is None:
        raise UserError(Problem("", "", "the second run is not finished", fix="wait for it"))
    return found


def _shown(old: PairSide | None, new: PairSide | None, index: Index) -> Shown:
    """index: of the run that chose the pair's chosen response: A, or B where A has no such pair."""
    known = old or new
    assert known is not None
    names = known.chosen_id, known.rejected_id
    listed = index.pairs_of(known.prompt_id)
    pair = next((one for one in listed if (one.chosen_id, one.rejected_id) == names), None)
    return Shown(pair, old, new, _moved(old, new) if old and new else [])


def _moved(old: PairSide, new: PairSide) -> list[Moved]:
    """The largest change first. B chose the other response, so that its votes count the other way round."""
    moved = []
    for name in sorted({*old.votes, *new.votes}):
        before, after = old.votes.get(name), new.votes.get(name)
        after = None if after is None else -after
        if before is None or after is None or before * after < 0:
            moved.append(Moved(name, before, after))
    return sorted(moved, key=lambda one: -abs((one.after or 0.0) - (one.before or 0.0)))


def _two(studio: Studio) -> bool:
    return studio.subject.kind is Kind.RUN and studio.against is not None and studio.against.kind is Kind.RUN


VIEW = View("/compare", "Two runs", (Route("/compare", compare),), _two)
