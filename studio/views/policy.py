"""An evaluation of policy A against policy B: figures, and responses side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from constitution.errors import Problem, Problems, UserError
from critics.ranking.weights import Estimate
from evaluation.audit.word_diff import Change, word_diff
from evaluation.policy.result import Example, PairOutcome, PolicyEvaluation, read_evaluation
from studio.data.filters import MAX_TEXT, read_count, read_number
from studio.pages import page
from studio.plots import Chart, clip, histogram
from studio.state import View, studio_of
from studio.subject import Kind

SORTS = {
    "win": "A's clearest wins first",
    "loss": "A's clearest losses first",
    "close": "close calls first",
    "longer": "A's longer responses first",
}
SIZE = 50
"""Outcomes of a page."""


class Shown(NamedTuple):
    """An example; `a` and `b` are what each says, with what the other does not say marked."""

    example: Example
    a: list[Change]
    b: list[Change]


class OutcomeQuery(NamedTuple):
    """Which outcomes, and in which order."""

    sort: str = "win"
    q: str = ""
    """What the prompt's id has."""
    least: float = -math.inf
    """Log-odds for A, within; `below` is not."""
    below: float = math.inf
    page: int = 1

    def address(self, **changes: object) -> str:
        """The query string that `_query` reads as this, with changes."""
        new = self._replace(**{"page": 1, **changes})  # type: ignore[arg-type]
        parts: dict[str, object] = {"sort": new.sort, "q": new.q}
        parts |= {"from": f"{new.least:g}" if new.least > -math.inf else ""}
        parts |= {"below": f"{new.below:g}" if new.below < math.inf else "", "page": new.page if new.page > 1 else ""}
        return urlencode({name: value for name, value in parts.items() if value})


def show(request: Request) -> Response:
    """The figures, some responses, and a page of the outcomes that the address asks for."""
    subject, query = studio_of(request).subject, _query(request)
    if subject.kind is not Kind.POLICY:
        raise UserError(Problem(subject.name, got="is no evaluation of policies"))
    found = read_evaluation(subject.path)
    keys: dict[str, Callable[[PairOutcome], float]] = {
        "win": lambda one: -one.logit,
        "loss": lambda one: one.logit,
        "close": lambda one: abs(one.logit),
        "longer": lambda one: -one.longer,
    }
    kept = [one for one in found.pairs if query.q in one.prompt_id and query.least <= one.logit < query.below]
    start = (query.page - 1) * SIZE
    return page(
        request,
        "policy.html.jinja",
        found=found,
        figures=_figures(found),
        chart=_chart(found, query),
        clip=clip,
        examples=[_shown(one) for one in found.examples],
        outcomes=sorted(kept, key=keys[query.sort])[start : start + SIZE],
        total=len(kept),
        pages=max(1, math.ceil(len(kept) / SIZE)),
        query=query,
        sorts=SORTS,
        most=MAX_TEXT,
    )


def _query(request: Request) -> OutcomeQuery:
    given, problems = request.query_params, Problems()
    sort = given.get("sort", "win")
    if sort not in SORTS:
        problems.add("", "sort", f"got {sort!r}", ", ".join(SORTS))
    least, below = given.get("from", ""), given.get("below", "")
    query = OutcomeQuery(
        sort,
        given.get("q", "")[:MAX_TEXT],
        read_number(problems, "from", least) if least else -math.inf,
        read_number(problems, "below", below) if below else math.inf,
        read_count(problems, "page", given.get("page", "1"), 1, 1 << 30),
    )
    problems.check()
    return query


def _chart(found: PolicyEvaluation, query: OutcomeQuery) -> Chart:
    """Bars on both sides of 0, each leading to its outcomes."""
    logits = [one.logit for one in found.pairs]
    top = max([0.1, *(abs(one) for one in logits)])
    edges = [round(top * (i - 10) / 10, 3) for i in range(21)]

    def href(least: float, below: float) -> str:
        return f"/policy?{query.address(least=least, below=below)}#outcomes"

    return histogram("Log-odds for A", logits, edges, href)


def _figures(found: PolicyEvaluation) -> list[tuple[str, Estimate]]:
    """(name, value) of A's shares, all that there are."""
    win = found.win
    named: list[tuple[str, Estimate | None]] = [
        ("preferred", win.raw),
        ("preferred, length controlled", win.controlled),
        ("mean probability", win.probability),
        ("by what neither was trained against", win.unseen),
        ("by a held-out constitution", found.gold.win.raw if found.gold else None),
        *((f"objective {name}", value) for name, value in win.objectives.items()),
        *((f"judge {name}", value) for name, value in win.judges.items()),
        *((f"principle {name}", value) for name, value in win.principles.items()),
    ]
    return [(name, value) for name, value in named if value is not None]


def _shown(example: Example) -> Shown:
    changes = word_diff(example.b, example.a)
    a, b = ([one for one in changes if one.kind != left_out] for left_out in ("del", "ins"))
    return Shown(example, a, b)


VIEW = View("/policy", "Policies", (Route("/policy", show),), lambda studio: studio.subject.kind is Kind.POLICY)
