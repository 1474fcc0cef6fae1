"""An evaluation of policy A against policy B: figures, and responses side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from constitution.errors import Problem, UserError
from critics.ranking.weights import Estimate
from evaluation.audit.word_diff import Change, word_diff
from evaluation.policy.result import Example, PairOutcome, PolicyEvaluation, read_evaluation
from studio.pages import page
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


def show(request: Request) -> Response:
    """The whole evaluation."""
    subject, sort = studio_of(request).subject, request.query_params.get("sort", "win")
    if subject.kind is not Kind.POLICY or sort not in SORTS:
        raise UserError(Problem("", "sort", f"got {sort!r}", ", ".join(SORTS)))
    found = read_evaluation(subject.path)
    keys: dict[str, Callable[[PairOutcome], float]] = {
        "win": lambda one: -one.logit,
        "loss": lambda one: one.logit,
        "close": lambda one: abs(one.logit),
        "longer": lambda one: -one.longer,
    }
    return page(
        request,
        "policy.html.jinja",
        found=found,
        figures=_figures(found),
        examples=[_shown(one) for one in found.examples],
        outcomes=sorted(found.pairs, key=keys[sort])[:SIZE],
        sort=sort,
        sorts=SORTS,
    )


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
