"""What a check found, and when it is more than noise.

A share is held against a threshold by its exact binomial bound (Clopper and Pearson 1934) at a level that is divided among all
tests of a dataset (Bonferroni), so that a sound dataset raises no alarm with 99%, however small it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import scipy  # whose parts are loaded where they are first used

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
TESTS = 64
"""Tests that a dataset meets, at most."""
LEVEL = 0.01 / TESTS
"""Chance that one of them raises an alarm about a share that is at its threshold."""
RARE = 0.005
"""Share of rows with a defect that careful public datasets have too."""
FEW = 3
"""Rows with a defect that are told as a warning, in a small dataset."""


class Finding(NamedTuple):
    """Something that is wrong with a dataset, or that one should know of it."""

    check: str
    """Its name, as in `always_first`."""
    severity: Severity
    """error: do not train on it; warning: look at it; note: too few to matter, or nothing is wrong."""
    hits: int
    """Rows that have it."""
    of: int
    """Rows that could have it."""
    what: str
    """In a sentence."""
    fix: str
    """What mends it."""
    places: tuple[str, ...] = ()
    """Some of the rows, as `file:row`."""


def lower(hits: int, n: int) -> float:
    """A share that the true one is above of; 0 where nothing was seen."""
    return float(scipy.special.betaincinv(hits, n - hits + 1, LEVEL)) if hits else 0.0


def upper(hits: int, n: int) -> float:
    """A share that the true one is below of; 1 where nothing was seen."""
    return float(scipy.special.betaincinv(hits + 1, n - hits, 1 - LEVEL)) if hits < n else 1.0


def above(hits: int, n: int, share: float) -> bool:
    """Whether the share is above another beyond noise."""
    return n > 0 and lower(hits, n) > share


def below(hits: int, n: int, share: float) -> bool:
    """Whether the share is below another beyond noise."""
    return n > 0 and upper(hits, n) < share


def is_blind(hits: int, n: int) -> bool:
    """Whether two labels agree about as often as coins do: in 35% to 65%, and beyond noise in neither under 20% nor over 80%."""
    return n > 0 and 0.35 <= hits / n <= 0.65 and above(hits, n, 0.2) and below(hits, n, 0.8)


def graded(severity: Severity, hits: int, n: int, background: float = RARE) -> Severity:
    """The severity of a defect that single rows have: a note where they are no more than is usual.

    Such a row is certain, whatever noise there is: so a few, of a share that is twice what is usual, are a warning.
    """
    if above(hits, n, background):
        return severity
    return "warning" if hits >= FEW and hits >= 2 * background * n else "note"
