"""Which comparisons to make next: Swiss rounds, knockout, or those that tell most.

Everything here speaks of candidates by their positions, and goes by what has been judged so far alone: the same table and
seed give the same comparisons. A batch names each candidate at most once, and no pair is ever asked twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are first used
from numpy.typing import NDArray

from critics.ranking.bradley_terry import Fit, Floats, Index

DRAWS = 256
"""Draws from the fit that stand for it where no formula does."""


class Table(NamedTuple):
    """How the comparisons of one prompt's candidates stand."""

    n: int
    open: tuple[Index, ...]
    """The pairs that may still be asked, in order."""
    asked: frozenset[Index]
    """The pairs that were asked, with or without an answer."""
    logits: Mapping[Index, float]
    """Log-odds, for the first, of the pairs that inform the order."""


def swiss(table: Table, fit: Fit, seed: int) -> list[Index]:
    """A round: everyone meets the nearest in strength whom they have not met. The first round is random.

    Of an odd number one sits out, one of those who had the most comparisons.
    """
    drawn = np.random.default_rng(seed).permutation(table.n)
    rank = np.empty(table.n, np.intp)
    rank[drawn[np.argsort(-fit.mean[drawn].round(9), kind="stable")]] = np.arange(table.n)
    games = Counter(candidate for pair in table.asked for candidate in pair)
    idle = max((int(i) for i in drawn), key=games.__getitem__) if table.n % 2 else None
    return _apart(sorted(table.open, key=lambda pair: (idle in pair, *sorted(rank[[*pair]]))))


def adaptive(table: Table, fit: Fit, extremes: bool, seed: int) -> list[Index]:
    """A quarter of the candidates' number of pairs, those that tell most about the order.

    That is the pairs whose order is most in doubt. With `extremes` only the best and the worst matter, and it is the pairs
    whose outcome has the most mutual information with who they are.
    """
    if not table.open:
        return []
    rng = np.random.default_rng([seed, len(table.asked)])
    pairs = rng.permutation(np.array(table.open, np.intp))
    first, second = pairs.T
    value = _information(fit, first, second, rng) if extremes else fit.doubt(first, second)
    order = np.argsort(-value.round(12), kind="stable")
    return _apart((int(a), int(b)) for a, b in pairs[order])[: max(table.n // 4, 1)]


def _information(fit: Fit, first: NDArray[np.intp], second: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """For each pair: by how much its outcome is expected to lower the entropy of who is the best, and who the worst."""
    drawn = rng.multivariate_normal(fit.mean, fit.covariance, DRAWS, method="cholesky")
    won = np.asarray(scipy.special.expit(drawn[:, first] - drawn[:, second]))
    information = np.zeros(len(first))
    for winner in (drawn.argmax(axis=1), drawn.argmin(axis=1)):
        for candidate in np.unique(winner):
            information -= _coin(won[winner == candidate].mean(axis=0)) * np.mean(winner == candidate)
    return information + 2 * _coin(won.mean(axis=0))


def _coin(p: Floats) -> Floats:
    """Entropy of a coin, in nats."""
    return np.asarray(scipy.special.entr(p) + scipy.special.entr(1 - p))


def knockout(table: Table, seed: int) -> tuple[list[Index], set[Index]]:
    """Single elimination for the best, and among those who lost the first round for the worst.

    Returns the matches that can be asked now, and all that were played. The order of the candidates is random; from a match
    without an answer, the one that comes first in it advances.
    """
    entrants = [int(i) for i in np.random.default_rng(seed).permutation(table.n)]
    ready: list[Index] = []
    played: set[Index] = set()
    losers = _losers(entrants, table, ready, played)
    if losers is not None:
        _eliminate([i for i in entrants if i not in losers], table, ready, played, keep_losers=False)
        _eliminate([i for i in entrants if i in losers], table, ready, played, keep_losers=True)
    return ready, played


def _eliminate(entrants: list[int], table: Table, ready: list[Index], played: set[Index], keep_losers: bool) -> None:
    """Rounds until one is left or a match has to be asked."""
    while len(entrants) > 1:
        losers = _losers(entrants, table, ready, played)
        if losers is None:
            return
        odd = set(entrants[-1:]) if len(entrants) % 2 else set()
        keep = losers | odd if keep_losers else set(entrants) - losers
        entrants = [i for i in entrants if i in keep]


def _losers(entrants: Sequence[int], table: Table, ready: list[Index], played: set[Index]) -> set[int] | None:
    """Those beaten in a round of neighbours; None while a match is to be asked. An odd one out sits still."""
    losers: set[int] = set()
    waiting = False
    for one, other in zip(entrants[::2], entrants[1::2], strict=False):
        pair = min(one, other), max(one, other)
        if pair in table.asked:
            played.add(pair)
        elif pair in table.open:
            ready.append(pair)
            waiting = True
        gain = table.logits.get(pair, 0.0)
        losers.add(one if (gain if one < other else -gain) < 0 else other)
    return None if waiting else losers


def _apart(pairs: Iterable[Index]) -> list[Index]:
    """The first pairs that share no candidate."""
    taken: set[int] = set()
    kept = []
    for pair in pairs:
        if taken.isdisjoint(pair):
            kept.append(pair)
            taken.update(pair)
    return kept
