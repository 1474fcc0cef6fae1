"""What pairs are looked for: a filter and an order, as the query string of an address says them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

from constitution.errors import Problem, Problems

FACETS = {
    "principle": "principle that voted",
    "against": "principle that voted for the rejected response",
    "flips": "principle whose vote follows the place",
    "objective": "objective that was asked",
    "objective_against": "objective that is for the rejected response",
    "tag": "tag of the prompt",
    "origin": "origin",
    "source": "who the label is from",
    "indicator": "indicator in a response",
    "failure": "what failed or was dropped of the prompt",
    "split": "split",
}
"""Name -> what it says; a pair has any number of values of each."""
RANGES = {
    "p": "p (0.5 to 1)",
    "margin": "margin in log-odds",
    "against": "share of votes for the rejected",
    "flips": "share of votes that follow the place",
    "longer": "characters that the chosen is longer",
}
"""Number of a pair -> what it says. In an address its limits are `p_from`, which is within, and `p_below`, which is not."""
ORDERS = ("number", *RANGES)
"""What pairs are sorted by; `-p` is descending."""
SIZES = (20, 50, 100, 200)
"""Pairs of a page."""
MAX_TEXT = 200
"""Characters that are searched for."""
_WORD = re.compile(r"[^\W_]+\*?")


class PairFilter(NamedTuple):
    """Which pairs: those that have all of this."""

    text: str = ""
    """Words that the prompt or a response has, each anywhere; `word*` is its beginning."""
    values: tuple[tuple[str, str], ...] = ()
    """(facet, value) that a pair has."""
    limits: tuple[tuple[str, float, float], ...] = ()
    """(number, from, below): the first is within, the second is not."""

    def words(self) -> list[str]:
        """The words, none of which has anything but letters and digits, and `*` at its end."""
        return _WORD.findall(self.text)


class PairQuery(NamedTuple):
    """A filter, an order and a page."""

    filter: PairFilter = PairFilter()
    sort: str = "number"
    page: int = 1
    size: int = 50

    def address(self, **changes: object) -> str:
        """The query string that `read_query` reads as this, with changes: `page`, `size`, `sort`, or `filter`."""
        new = self._replace(**changes)  # type: ignore[arg-type]
        if "page" not in changes:
            new = new._replace(page=1)
        f = new.filter
        parts: list[tuple[str, object]] = [("q", f.text)] if f.text else []
        parts += f.values
        for name, least, below in f.limits:
            parts += [(f"{name}_from", f"{least:g}")] if least > -math.inf else []
            parts += [(f"{name}_below", f"{below:g}")] if below < math.inf else []
        defaults = PairQuery()
        for name in ("sort", "page", "size"):
            if getattr(new, name) != getattr(defaults, name):
                parts.append((name, getattr(new, name)))
        return urlencode(parts)

    def without(self, facet: str, value: str) -> str:
        """The query string of all but one value."""
        kept = tuple(one for one in self.filter.values if one != (facet, value))
        return self.address(filter=self.filter._replace(values=kept))

    def sorted_by(self, name: str) -> str:
        """The query string of the same pairs by another number: first its largest values, and by the second time its least."""
        return self.address(sort=name if self.sort == f"-{name}" else f"-{name}")


def read_query(items: Iterable[tuple[str, str]]) -> PairQuery:
    """A query string's names and values; what is empty, as of a form, was not given. Raises UserError with all that is wrong."""
    problems, text, sort, page, size = Problems(), "", "number", 1, 50
    values: dict[tuple[str, str], None] = {}
    limits: dict[str, list[float]] = {}
    for name, value in items:
        number, _, end = name.rpartition("_")
        if not value.strip():
            continue
        if name == "q":
            text = value[:MAX_TEXT]
        elif name in FACETS:
            values[name, value] = None
        elif number in RANGES and end in ("from", "below"):
            limits.setdefault(number, [-math.inf, math.inf])[end == "below"] = read_number(problems, name, value)
        elif name == "sort" and value.removeprefix("-") in ORDERS:
            sort = value
        elif name == "page":
            page = read_count(problems, name, value, 1, 1 << 30)
        elif name == "size":
            size = read_count(problems, name, value, 1, SIZES[-1])
        else:
            problems.add("", name, f"got {value!r}", "a filter, an order or a page of this list")
    problems.check()
    found = tuple((name, least, below) for name, (least, below) in limits.items())
    return PairQuery(PairFilter(text, tuple(values), found), sort, page, size)


def read_number(problems: Problems, name: str, value: str) -> float:
    """A number of an address; 0 and a problem for anything else."""
    try:
        if math.isfinite(found := float(value)):
            return found
    except ValueError:
        pass
    problems.found.append(Problem("", name, f"got {value!r}", "a number"))
    return 0.0


def read_count(problems: Problems, name: str, value: str, least: int, most: int) -> int:
    """A whole number of an address, within limits; the least and a problem for anything else."""
    if value.isascii() and value.isdigit() and len(value) < 12 and least <= int(value) <= most:
        return int(value)
    problems.found.append(Problem("", name, f"got {value!r}", f"{least} to {most}"))
    return least
