"""How far a value has moved from one check to later ones, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

PRINCIPLE = "principle/"
"""Prefix of the names under which a principle's own share is logged and compared."""
_ROUNDING = 1e-9
"""Share of a value that arithmetic may move it by: the mean of three equal numbers is not always that number."""

SHARE = 0.5
"""Of what a reward's rise was worth in gold at the start: less, and the policy has found what else the reward pays for."""
_EARNED = 0.05
"""Chance at which noise alone looks like a rise of gold."""


class Check(NamedTuple):
    """What a policy's responses to the fixed prompts were like at one time."""

    step: int
    values: Mapping[str, float]
    """`proxy` (the reward that is optimised), `gold`, `kl` (nats per response), `spread` (between reward models), `reward_length`,
    `principle/ID`, and measures of the responses by the names of `evaluation.texts.MEASURES`."""
    errors: Mapping[str, float] = {}
    """Standard errors, where they are known."""
    rows: Mapping[str, Sequence[float]] = {}
    """A value for each prompt, always in the same order, NaN where there is none: differences prompt by prompt are less noisy."""


class Move(NamedTuple):
    """From one check to the mean of later ones."""

    before: float
    now: float
    error: float
    """Standard error of now - before; NaN where it is not known, infinite where too few prompts have both."""
    freedom: float
    """Degrees of freedom of that error."""

    @property
    def by(self) -> float:
        """now - before; 0 where that is no more than rounding."""
        by = self.now - self.before
        return 0.0 if abs(by) <= _ROUNDING * max(abs(self.before), abs(self.now)) else by

    def sure(self, chance: float) -> bool:
        """True where noise alone moves so far, in this direction, with at most this chance. An unknown error is no objection: then
        that it holds at several checks is all there is.
        """
        if math.isnan(self.error):
            return self.by != 0
        return abs(self.by) > self.error * float(stdtrit(self.freedom, 1 - chance))

    def __str__(self) -> str:
        noise = "" if math.isnan(self.error) else f" ({self.by:+.3g} ± {self.error:.2g})"
        return f"from {self.before:.3g} to {self.now:.3g}{noise}"


def has(checks: Sequence[Check], name: str) -> list[int]:
    """Places of the checks that measured a value."""
    return [i for i, check in enumerate(checks) if math.isfinite(check.values.get(name, math.nan))]


def best_of(checks: Sequence[Check], name: str) -> int | None:
    """Place of the highest value, the first of equals; None where it was never measured."""
    return max(has(checks, name), key=lambda i: checks[i].values[name], default=None)


def moved(first: Check, last: Sequence[Check], name: str) -> Move:
    """From a check to the mean of later ones, all of which have the value.

    Where each has a row of it, both are means over the prompts that all of them have, and the error is that of the mean difference:
    what prompts have in common cancels, and a prompt that is missing at one check moves nothing. Else the checks' own errors are
    added up as independent, which is more than they are.
    """
    before, now = first.values[name], float(np.mean([check.values[name] for check in last]))
    if all(name in check.rows for check in (first, *last)):
        rows = np.array([check.rows[name] for check in (first, *last)])
        known = rows[:, np.isfinite(rows).all(axis=0)]
        count = known.shape[1]
        if count < 2:
            return Move(before, now, math.inf, math.inf)
        differences = known[1:].mean(axis=0) - known[0]
        error = float(np.std(differences, ddof=1) / math.sqrt(count))
        return Move(float(known[0].mean()), float(known[1:].mean()), error, count - 1.0)
    errors = [check.errors.get(name, math.nan) for check in (first, *last)]
    error = math.sqrt(errors[0] ** 2 + sum(e**2 for e in errors[1:]) / len(last) ** 2)
    return Move(before, now, error, math.inf)


def since_start(checks: Sequence[Check], name: str, last: int) -> tuple[Move, list[float]] | None:
    """The move from the first check to the last ones, and the values of these; None where one has no such value, or where there are
    not yet so many.
    """
    if len(checks) <= last:
        return None
    recent = checks[-last:]
    if len(has([checks[0], *recent], name)) != last + 1:
        return None
    return moved(checks[0], recent, name), [check.values[name] for check in recent]


def earned(first: Check, last: Sequence[Check]) -> bool:
    """True where the reward's rise is a rise of gold too, so that whatever changed in the responses is worth it.

    Gold is surely higher than at the first check, by at least SHARE of what the reward's rise was worth there: the slope of gold on
    the reward over its prompts. False where either has no rows.
    """
    if not all(name in check.rows for check in (first, *last) for name in ("proxy", "gold")):
        return False
    rows = np.array([[check.rows[name] for name in ("proxy", "gold")] for check in (first, *last)])
    known = rows[:, :, np.isfinite(rows).all(axis=(0, 1))]
    start = known[0]
    if known.shape[2] < 3 or np.ptp(start[0]) == 0:
        return False
    worth = float(np.cov(start)[0, 1] / np.var(start[0], ddof=1))
    proxy, gold = (known[1:].mean(axis=0) - start).mean(axis=1)
    sure = moved(first, last, "gold").sure(_EARNED)
    return bool(sure and worth > 0 and gold > 0 and gold >= SHARE * worth * proxy)
