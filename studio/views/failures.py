"""What failed and what was dropped, with reasons and texts; and all that is known of one prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from constitution.errors import Problem, UserError
from critics.transcript import message_text
from generation.reasons import advice, told
from studio.data.calls import Call, calls_about
from studio.data.filters import MAX_TEXT
from studio.data.index import Index, Listed
from studio.pages import page
from studio.state import View, finished, index_at

SIZE = 50
"""Rows of a page."""


class FailureQuery(NamedTuple):
    """Which rows."""

    reason: str = ""
    """`stage: reason`."""
    text: str = ""
    page: int = 1

    def address(self, page: int) -> str:
        """The query string of a page of them."""
        parts = {"reason": self.reason, "q": self.text, "page": page if page > 1 else ""}
        return urlencode({name: value for name, value in parts.items() if value})


def list_failures(request: Request) -> Response:
    """A page of the rows that the address asks for."""
    index, query = index_at(request), _query(request)
    total, rows = index.failed(query.reason, query.text, (query.page - 1) * SIZE, SIZE)
    reasons = index.reasons()
    return page(
        request,
        "failures.html.jinja",
        query=query,
        total=total,
        rows=rows,
        reasons=reasons,
        pages=max(1, math.ceil(total / SIZE)),
        most=MAX_TEXT,
        meaning=told(query.reason) if query.reason else "",
        advice=advice(query.reason),
        with_pairs=any(count.value == query.reason for count in index.counts("failure")),
    )


def show_prompt(request: Request) -> Response:
    """Everything of one prompt: what was asked and answered, what came of it and what did not."""
    index, name = index_at(request), request.query_params.get("id", "")
    responses, failures, pairs = index.responses(name), index.failures(name), index.pairs_of(name)
    calls = calls_about(index.run, name, index=index)
    if not (responses or failures or pairs or calls):
        raise HTTPException(404)
    return page(
        request,
        "prompt.html.jinja",
        name=name,
        responses=responses,
        critiques=index.critiques(name),
        votes=index.votes(name),
        failures=failures,
        pairs=pairs,
        calls=calls,
        messages=_messages(index, pairs, calls),
    )


def _query(request: Request) -> FailureQuery:
    given = request.query_params
    number = given.get("page", "1")
    if not (number.isascii() and number.isdigit() and 0 < len(number) < 12 and int(number) > 0):
        raise UserError(Problem("", "page", f"got {number!r}", "a number from 1"))
    return FailureQuery(given.get("reason", ""), given.get("q", "")[:MAX_TEXT], int(number))


def _messages(index: Index, pairs: Sequence[Listed], calls: Sequence[Call]) -> list[tuple[str, str]]:
    """Role and text of what was asked: of a prompt without pairs, as its first call has it."""
    pair = index.pair(pairs[0].number) if pairs else None
    if pair:
        return [(message.role, message_text(message)) for message in pair.prompt]
    asked = next((call.asked for call in calls if call.stage == "sample" and call.asked), None)
    return [*asked.messages] if asked else []


VIEW = View(
    "/failures", "Failed and dropped", (Route("/failures", list_failures), Route("/prompt", show_prompt)), finished
)
