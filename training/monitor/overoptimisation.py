"""How gold reward follows the distance from the reference, and where it turns down: the form of Gao, Schulman and Hilton (2022,
arXiv:2210.10760).

With d = sqrt(KL) the gain in gold over the reference is d (alpha - beta log d) where a policy is trained by reinforcement, and
d (alpha - beta d) for the best of n samples. Both are linear in alpha and beta, so least squares has a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Form = Literal["rl", "best of n"]
LEAST = 4
"""Points beyond the start that a fit needs: two parameters, and something left to judge it by."""


class Fit(NamedTuple):
    """A curve through gains."""

    form: Form
    alpha: float
    beta: float
    covariance: NDArray[np.float64]
    """[2, 2], of alpha and beta."""
    freedom: int
    """Points less parameters."""

    def gain(self, d: float) -> float:
        """Expected gain at a distance of sqrt(nats); 0 at 0."""
        if d <= 0:
            return 0.0
        return d * (self.alpha - self.beta * (math.log(d) if self.form == "rl" else d))

    @property
    def peak(self) -> float:
        """Distance at which the gain is highest; infinite where the curve never turns down, 0 where it only falls."""
        if self.beta <= 0:
            return math.inf
        if self.form == "best of n":
            return max(0.0, self.alpha / (2 * self.beta))
        return math.exp(min(700.0, self.alpha / self.beta - 1))

    def falls(self, d: float, chance: float) -> bool:
        """True where the curve goes down at a distance, and noise alone would show that with at most this chance."""
        bend = math.log(d) + 1 if self.form == "rl" else 2 * d
        slope = self.alpha - self.beta * bend
        gradient = np.array([1.0, -bend])
        error = math.sqrt(max(0.0, float(gradient @ self.covariance @ gradient)))
        return slope < -error * float(stdtrit(self.freedom, 1 - chance))


def fit(
    kl: Sequence[float], gains: Sequence[float], errors: Sequence[float] | None = None, form: Form = "rl"
) -> Fit | None:
    """Weighted least squares; None for fewer than four points, or points that do not tell alpha from beta.

    kl: nats of each point; those at 0 or less (a sampled KL may be) say nothing of the curve and are left out. gains: over the
    reference. errors: their standard errors; equal ones where None. Errors that are too small for how the points scatter around the
    curve are scaled up to it.
    """
    d, y = np.sqrt(np.maximum(np.asarray(kl, dtype=float), 0)), np.asarray(gains, dtype=float)
    e = np.ones_like(y) if errors is None else np.asarray(errors, dtype=float)
    kept = (d > 0) & np.isfinite(d) & np.isfinite(y)
    d, y, e = d[kept], y[kept], e[kept]
    if len(d) < LEAST:
        return None
    if errors is None or not (np.isfinite(e) & (e > 0)).all():
        e, known = np.ones_like(y), False
    else:
        known = True
    terms = np.stack([d, -d * (np.log(d) if form == "rl" else d)], axis=1) / e[:, None]
    if np.linalg.matrix_rank(terms) < 2:
        return None
    inverse = np.linalg.inv(terms.T @ terms)
    alpha, beta = inverse @ terms.T @ (y / e)
    freedom = len(d) - 2
    scatter = float(np.sum((y / e - terms @ [alpha, beta]) ** 2) / freedom)
    return Fit(form, float(alpha), float(beta), inverse * (max(1.0, scatter) if known else scatter), freedom)
