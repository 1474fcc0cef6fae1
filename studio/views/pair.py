"""One pair: what was said, what differs, who voted how, and where its responses come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from constitution.records import Critique, Vote
from critics.text.manipulation import INDICATORS
from critics.transcript import message_text
from evaluation.audit.word_diff import Change, word_diff
from generation.output.reading import Candidate, Pair
from generation.output.results import lineage
from generation.output.run import Run
from studio.data.filters import PairQuery, read_query
from studio.data.index import Index
from studio.pages import page
from studio.state import View, finished, index_at

VIOLATIONS = "violation"


class Side(NamedTuple):
    """One of the two responses."""

    role: str
    """`chosen` or `rejected`."""
    id: str
    origin: str
    policy: str | None
    truncated: bool
    text: str
    changes: list[Change]
    """What it says, with what the other does not say as `ins`, or `del` of the rejected one."""
    indicators: dict[str, str]
    """What it does to win by other means, and what that means."""


class Edit(NamedTuple):
    """A revision and what it changed."""

    after: Candidate
    before: Candidate
    changes: list[Change]


class Place(NamedTuple):
    """Where a pair stands among those of the address it was opened from."""

    number: int
    of: int
    before: int | None
    """The pair that stands before it; likewise the one behind."""
    after: int | None


def show_pair(request: Request) -> Response:
    """The pair of that number."""
    index, query = index_at(request), read_query(request.query_params.multi_items())
    number = request.path_params["number"]
    pair = index.pair(number) if number < index.pairs else None
    if pair is None:
        raise HTTPException(404)
    responses = {one.id: one for one in index.responses(pair.prompt_id)}
    names = [*dict.fromkeys((*lineage(responses, pair.chosen_id), *lineage(responses, pair.rejected_id)))]
    objectives = {p.id: p.objective for p in Run(index.run, index.manifest).constitution.principles}
    return page(
        request,
        "pair.html.jinja",
        number=number,
        pair=pair,
        prompt=[(message.role, message_text(message)) for message in pair.prompt],
        sides=_sides(pair, responses),
        votes=[(objectives.get(vote.principle, ""), vote) for vote in _by_strength(pair.votes)],
        critiques=[one for name in names for one in _of_response(index, pair.prompt_id, name)],
        edits=[edit for name in names if (edit := _edit(responses, name))],
        failures=index.failures(pair.prompt_id),
        others=[one for one in index.pairs_of(pair.prompt_id) if one.number != number],
        query=query,
        place=_place(index, query, number),
        calls=urlencode({"prompt": pair.prompt_id, "a": pair.chosen_id, "b": pair.rejected_id}),
        violation=VIOLATIONS,
    )


def _sides(pair: Pair, responses: Mapping[str, Candidate]) -> list[Side]:
    texts = message_text(pair.chosen), message_text(pair.rejected)
    changes = word_diff(texts[1], texts[0])
    sides = []
    for role, text, left_out in (("chosen", texts[0], "del"), ("rejected", texts[1], "ins")):
        name = getattr(pair, f"{role}_id")
        known = responses.get(name)
        marks = {mark: INDICATORS.get(mark, "") for mark in known.indicators} if known else {}
        own = [change for change in changes if change.kind != left_out]
        origin, policy, cut = (getattr(pair, f"{role}_{field}") for field in ("origin", "policy", "truncated"))
        sides.append(Side(role, name, origin, policy, cut, text, own, marks))
    return sides


def _by_strength(votes: tuple[Vote, ...]) -> list[Vote]:
    return sorted(votes, key=lambda vote: (-vote.value, vote.voter))


def _of_response(index: Index, prompt_id: str, name: str) -> list[Critique]:
    return [one for one in index.critiques(prompt_id) if one.response_id == name]


def _edit(responses: Mapping[str, Candidate], name: str) -> Edit | None:
    after = responses[name]
    before = responses.get(after.parent or "")
    return before and Edit(after, before, word_diff(message_text(before.message), message_text(after.message)))


def _place(index: Index, query: PairQuery, number: int) -> Place | None:
    """None where the pair is not among them."""
    numbers = index.numbers(query.filter, query.sort)
    found = np.flatnonzero(numbers == number)
    if not len(found):
        return None
    at = int(found[0])
    before = int(numbers[at - 1]) if at else None
    after = int(numbers[at + 1]) if at + 1 < len(numbers) else None
    return Place(at + 1, len(numbers), before, after)


VIEW = View("", "Pair", (Route("/pairs/{number:int}", show_pair),), finished)
