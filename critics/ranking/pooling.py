"""From a mean vote to a probability without labels: how many independent voters the votes of a panel are worth.

Let t = +-1 be the truth of a pair, z_k the vote of voter k in log-odds, w_k its weight (they add up to 1) and v = sum w_k z_k the
mean vote. A voter that is calibrated by itself has E[t | z_k] = tanh(z_k / 2), whatever the other voters say, and so

    E[t v] = sum w_k E[z_k tanh(z_k / 2)],

which the votes tell without a label. It is linear, so it holds however the voters' errors are correlated. On the other hand, if
c v is the calibrated log-odds of the pair then E[t v] = E[v tanh(c v / 2)], which grows with c. The c for which the two are equal
over the run's own pairs is the scale that makes the mean vote a probability: the panel is as often right as its voters, each
taken at its word, promise.

Panels differ by pair: votes are missing, principles are drawn. A panel of K voters (Kish's 1 / sum w_k^2) gets

    c = K / (1 + (K - 1) rho),

the effective number of voters of K votes whose errors correlate by rho (exact for equally strong voters with normal errors), and
the one rho of the run is what solves the equation. The raw correlation of votes would not do: the votes of good voters correlate
because the truth is shared. No distribution is assumed: pairs may differ in difficulty, and voters in strength.

Where even independent voters (rho = 0) would be less often right than promised, they contradict each other more than
calibrated voters can: they are too sure. All votes are then divided by the smallest temperature that the contradiction
demands; a voter that is too sure in a way that no other contradicts stays so. (Kish 1965, Survey Sampling; a temperature for votes:
Guo et al. 2017, arXiv:1706.04599.)
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

ProbabilityKind = Literal["pooled", "fitted", "mean"]
"""What a pair's log-odds are: pooled without labels, fitted on labelled pairs, or the mean vote, which is no probability."""

MOST_PAIRS = 20_000
"""Pairs that the correlation is estimated from. Of more, every second, fourth, ... is taken."""
PRIOR_PAIRS = 1.0
"""Few pairs say little: so many pairs are thought to have said that the effective number of voters is the root of their number."""
TEMPERATURES = np.geomspace(1, 100, 47)
TEMPERATURE_COST = 2.0
"""What log(temperature) costs beside half the squared number of standard errors by which the votes contradict each other."""
_STEPS = 40
"""Halvings of the interval in which the correlation is sought."""


class Counted(NamedTuple):
    """A vote as it counts in its pair's mean."""

    weight: float
    """Of the mean; those of a pair add up to 1."""
    value: float
    """Log-odds."""


class Pooling(NamedTuple):
    """What makes a run's mean votes probabilities."""

    rho: float
    """Correlation of the voters' errors, 0 to 1."""
    temperature: float
    """Divides every vote; above 1 where voters contradict each other more than their sureness allows."""
    voters: float
    """Voters of a pair, on average."""
    voters_effective: float
    """Independent voters that they are worth, on average."""
    pairs: int
    """Pairs that this was estimated from."""

    def log_odds(self, mean: Number, voters: Number) -> Number:
        """The calibrated log-odds of a pair, or of several: of their mean vote, and of Kish's number of voters."""
        return mean * factor(voters, self.rho) / self.temperature


def factor(voters: Number, rho: float) -> Number:
    """The effective number of voters whose errors correlate by rho."""
    return voters / (1 + (voters - 1) * rho)


def kish(weights: Sequence[float]) -> float:
    """The number of equal weights that these are worth; 0 for none."""
    return sum(weights) ** 2 / sum(weight**2 for weight in weights) if weights else 0.0


class PooledVotes:
    """The votes of a run's pairs, as they come; memory is bounded."""

    def __init__(self, most: int = MOST_PAIRS) -> None:
        self._most = most
        self._every = 1
        self._seen = 0
        self._pairs: list[tuple[array[float], array[float]]] = []

    def add(self, votes: Sequence[Counted]) -> None:
        """Take in one pair that was judged, whatever became of it: the pairs that a run keeps are its surest ones."""
        if self._seen % self._every == 0:
            self._pairs.append((array("d", (one.weight for one in votes)), array("d", (one.value for one in votes))))
        self._seen += 1
        if len(self._pairs) > self._most:
            self._pairs = self._pairs[::2]
            self._every *= 2

    def pooling(self) -> Pooling | None:
        """The estimate; None without a pair."""
        return pool([[Counted(*both) for both in zip(*pair, strict=True)] for pair in self._pairs])


def pool(pairs: Sequence[Sequence[Counted]]) -> Pooling | None:
    """The correlation of the voters' errors, from what they said of these pairs; None where there is no pair.

    pairs: the votes on each, of either sign. Neither their order nor which response is called the first matters.
    """
    pairs = [votes for votes in pairs if votes]
    if not pairs:
        return None
    votes = _Votes(pairs)
    most = float(votes.voters.max())
    temperature, share = 1.0, 0.0
    if most > 1:
        temperature = votes.temperature() if votes.excess(0.0, 1.0) < 0 else 1.0
        share = _share_of_independence(votes, most, temperature)
        share = (len(pairs) * share + PRIOR_PAIRS * 0.5) / (len(pairs) + PRIOR_PAIRS)
    rho = _rho(share, most)
    effective = float(np.mean(factor(votes.voters, rho)))
    return Pooling(rho, temperature, float(np.mean(votes.voters)), effective, len(pairs))


class _Votes:
    """All votes as arrays."""

    def __init__(self, pairs: Sequence[Sequence[Counted]]) -> None:
        counts = [len(votes) for votes in pairs]
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._weights = np.array([one.weight for votes in pairs for one in votes])
        self._values = np.array([one.value for votes in pairs for one in votes])
        self._means = self._summed(self._weights * self._values)
        self.voters = self._summed(self._weights) ** 2 / self._summed(self._weights**2)
        """[pairs] Kish's number."""

    def excess(self, rho: float, temperature: float) -> float:
        """Standard errors by which the panel is more often right, by its own log-odds, than its voters promise."""
        values, means = self._values / temperature, self._means / temperature
        promised = self._summed(self._weights * values * np.tanh(values / 2))
        differences = means * np.tanh(factor(self.voters, rho) * means / 2) - promised
        return float(differences.sum() / max(np.sqrt((differences**2).sum()), 1e-12))

    def temperature(self) -> float:
        """The one that the votes of independent voters demand at the least cost."""
        costs = [self.excess(0.0, t) ** 2 / 2 + TEMPERATURE_COST * np.log(t) for t in TEMPERATURES]
        return float(TEMPERATURES[int(np.argmin(costs))])

    def _summed(self, values: Floats) -> Floats:
        sums: Floats = np.add.reduceat(values, self._starts)
        return sums


def _share_of_independence(votes: _Votes, most: float, temperature: float) -> float:
    """log c / log K of the largest panel, 0 to 1, for which the panel is as often right as promised."""
    low, high = 0.0, 1.0
    if votes.excess(_rho(high, most), temperature) <= 0:
        return high
    if votes.excess(_rho(low, most), temperature) >= 0:
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if votes.excess(_rho(middle, most), temperature) < 0 else (low, middle)
    return (low + high) / 2


def _rho(share: float, voters: float) -> float:
    """The correlation at which so many voters are worth voters ** share."""
    return (voters ** (1 - share) - 1) / (voters - 1) if voters > 1 else 0.0
