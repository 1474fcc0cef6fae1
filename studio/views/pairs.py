"""All pairs of a run: searched, filtered, sorted, a page at a time."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.data.filters import FACETS, MAX_TEXT, ORDERS, RANGES, SIZES, PairFilter, PairQuery, read_query
from studio.pages import page
from studio.state import View, finished, index_at


def list_pairs(request: Request) -> Response:
    """A page of the pairs that the address asks for."""
    index, query = index_at(request), read_query(request.query_params.multi_items())
    found, given = index.find(query), dict(query.filter.values)
    return page(
        request,
        "pairs.html.jinja",
        query=query,
        found=found,
        total=index.pairs,
        pages=max(1, math.ceil(found.total / query.size)),
        facets=[(name, title, index.counts(name)) for name, title in FACETS.items()],
        given=given,
        others=[one for one in query.filter.values if given[one[0]] != one[1]],
        limits={name: (least, below) for name, least, below in query.filter.limits},
        ranges=RANGES,
        orders=ORDERS,
        sizes=SIZES,
        most=MAX_TEXT,
        chips=_chips(query),
        inf=math.inf,
    )


def _chips(query: PairQuery) -> list[tuple[str, str]]:
    """(what is asked, the address without it) of each part of the filter."""
    f = query.filter
    chips = [(f"text: {f.text}", query.address(filter=f._replace(text="")))] if f.text else []
    chips += [(f"{FACETS[facet]}: {value}", query.without(facet, value)) for facet, value in f.values]
    for limit in f.limits:
        name, least, below = limit
        said = " ".join(
            filter(
                None, [f"from {least:g}" if least > -math.inf else "", f"below {below:g}" if below < math.inf else ""]
            )
        )
        rest = PairFilter(f.text, f.values, tuple(one for one in f.limits if one != limit))
        chips.append((f"{RANGES[name]}: {said}", query.address(filter=rest)))
    return chips


VIEW = View("/pairs", "Pairs", (Route("/pairs", list_pairs),), finished)
