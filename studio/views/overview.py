"""What a run came to, as counts and as plots whose bars lead to their pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from urllib.parse import urlencode

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.data.filters import FACETS, PairFilter, PairQuery
from studio.data.index import Count, Index
from studio.pages import page
from studio.plots import Chart, clip, histogram, lying
from studio.state import View, finished, index_at

BARS = 30
"""Most bars of a plot that lie."""


def overview(request: Request) -> Response:
    """The run's counts and plots."""
    index = index_at(request)
    counts = index.manifest.counts
    facts = {
        "prompts": counts.prompts,
        "pairs": counts.pairs,
        "responses": counts.responses,
        "revisions": counts.revisions,
        "votes": counts.votes,
        "calls made": index.manifest.calls.made,
        "calls reused": index.manifest.calls.reused,
        "seconds": round(index.manifest.seconds.wall),
    }
    return page(request, "overview.html.jinja", facts=facts, charts=[*_charts(index)], clip=clip)


def _charts(index: Index) -> Iterator[Chart]:
    yield _histogram(index, "p", [round(0.5 + i / 40, 3) for i in range(21)], "p of the chosen response")
    top = float(np.ceil(max(index.values("margin").max(initial=1.0), 0.1) * 10) / 10)
    yield _histogram(index, "margin", [round(top * i / 20, 4) for i in range(21)], "Margin in log-odds")
    yield _histogram(index, "against", [i / 20 for i in range(21)], "Share of votes for the rejected response")
    yield _histogram(index, "flips", [i / 20 for i in range(21)], "Share of votes that follow the place")
    asked = {count.value: count.pairs for count in index.counts("principle")}
    yield _bars("principle", index.counts("principle"), "Pairs that a principle voted on")
    for facet, title in (
        ("against", "Of these, where it was for the rejected"),
        ("flips", "Of these, where its vote follows the place"),
    ):
        shares = [
            (value, n / asked[value], f"{n / asked[value]:.0%} ({n:,})", _href(facet, value))
            for value, n in index.counts(facet)
            if value in asked
        ]
        yield lying(title, shares[:BARS])
    for facet in ("objective", "objective_against", "origin", "tag", "indicator", "source"):
        yield _bars(facet, index.counts(facet), FACETS[facet].capitalize())
    reasons = [
        (f"{reason} ({kind})", n, f"{n:,}", f"/failures?{urlencode({'reason': reason})}")
        for kind, reason, n in index.reasons()
    ]
    yield lying("What failed or was dropped", reasons[:BARS])


def _histogram(index: Index, name: str, edges: list[float], title: str) -> Chart:
    def href(least: float, below: float) -> str:
        limits = () if least == -math.inf and below == math.inf else ((name, least, below),)
        return f"/pairs?{PairQuery(PairFilter(limits=limits)).address()}"

    return histogram(title, index.values(name), edges, href)


def _bars(facet: str, counts: list[Count], title: str) -> Chart:
    return lying(title, [(value, n, f"{n:,}", _href(facet, value)) for value, n in counts[:BARS]])


def _href(facet: str, value: str) -> str:
    return f"/pairs?{urlencode({facet: value})}"


VIEW = View("/overview", "Overview", (Route("/overview", overview),), finished)
