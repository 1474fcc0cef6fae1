"""The rows of one source that cannot be trained on: left out and told, or too many of them."""

from __future__ import annotations

from constitution.errors import Problem, UserError
from constitution.terminal import complain
from training.data.sources import Raw

LISTED = 20
"""Rows whose problems are told where a source is refused; with none usable among the first so many, reading ends."""
SHOWN = 3
"""Rows that are told one by one where the others are trained on."""


def allowed(rows: int, most: float) -> float:
    """How many of so many rows may be lost, by the largest share of them: one in any case, unless none may."""
    return max(1.0, most * rows) if most else 0.0


class Unusable:
    """What is wrong with rows, and of how many."""

    def __init__(self, spec: str) -> None:
        self._place = f"--data {spec}"
        self._first: dict[tuple[Problem, ...], list[str]] = {}
        self.train = self.test = 0
        """Rows, by the part that they are of; those of a source without splits count as of the first."""

    def add(self, raw: Raw, error: Exception) -> None:
        """One more."""
        if self.total < LISTED:
            found = error.problems if isinstance(error, UserError) else (_unforeseen(error),)
            self._first.setdefault(found, []).append(raw.place)
        if raw.split == "test":
            self.test += 1
        else:
            self.train += 1

    @property
    def total(self) -> int:
        """Of both parts."""
        return self.train + self.test

    def check(self, usable: int, most: float, needed: str) -> None:
        """Raises UserError where nothing is left, or more than this share is lost. usable: rows that are left."""
        rows = usable + self.total
        if not self.total or (usable and self.total <= allowed(rows, most)):
            return
        left = f"allowed by max_failed: {most:.0%}" if usable else "and none is left"
        got = f"{self.total:,} of {rows:,} rows cannot be trained on ({left})"
        found = [Problem(self._place, got=got, fix=f"each needs {needed}")]
        for problems, places in self._first.items():
            found += [problem._replace(place=_places(places)) for problem in problems]
        if self.total >= LISTED and not usable:
            found.append(Problem(self._place, got=f"was read up to the {LISTED}th row"))
        elif self.total > LISTED:
            found.append(Problem(self._place, got=f"has {self.total - LISTED:,} more such rows"))
        raise UserError(found)

    def tell(self, usable: int) -> None:
        """Say how many are left out, and why the first few are."""
        if not self.total:
            return
        complain(
            f"{self._place}: {self.total:,} of {usable + self.total:,} rows cannot be trained on and are left out, as:"
        )
        lines = [
            f"  {problem._replace(place=_places(places))}" for found, places in self._first.items() for problem in found
        ]
        for line in lines[:SHOWN]:
            complain(line)


def _unforeseen(error: Exception) -> Problem:
    return Problem("", got=f"cannot be read ({type(error).__name__}: {str(error)[:200]})")


def _places(found: list[str]) -> str:
    others = len(found) - 1
    return found[0] + (f" and {others} more row{'s' if others > 1 else ''}" if others else "")
