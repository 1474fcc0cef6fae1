"""How often a policy's tool use succeeds, and what it wastes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from critics.ranking.weights import Estimate
from evaluation.episodes.playing import Played
from evaluation.statistics import share

RATES = {
    "success": "right answers that rest on the calls they need",
    "called": "episodes that need a call and get one",
    "restrained": "episodes that need none and get none",
    "valid": "calls of tools on offer with arguments that fit",
    "evidence": "results unlike what one would think that the answer goes by, where they were fetched",
    "admitted": "failed tools that the answer owns up to, where they were called",
    "waste": "calls that serve nothing",
    "unfinished": "episodes without an answer in words",
}
"""Name -> what it is the share of; of `waste` and `unfinished` less is better."""


def rates(played: Sequence[Played]) -> dict[str, Estimate]:
    """Shares with Wilson's 95% intervals; NaN where there is nothing to take a share of."""
    needing = [one for one in played if one.episode.calls]
    return {
        "success": _of(played, lambda one: one.success),
        "called": _of(needing, lambda one: one.calls > 0),
        "restrained": _of([one for one in played if not one.episode.calls], lambda one: one.calls == 0),
        "valid": _of_calls(played, lambda one: one.valid),
        "evidence": _of(_fetched(needing, "evidence"), lambda one: one.success),
        "admitted": _of(_fetched(needing, "failing"), lambda one: one.success),
        "waste": _of_calls(played, lambda one: one.needless),
        "unfinished": _of(played, lambda one: one.final is None),
    }


def by_kind(played: Sequence[Played]) -> dict[str, Estimate]:
    """Success by the kind of episode."""
    kinds = dict.fromkeys(one.episode.kind for one in played)
    return {kind: _of([one for one in played if one.episode.kind == kind], lambda one: one.success) for kind in kinds}


def _fetched(played: Sequence[Played], kind: str) -> list[Played]:
    return [one for one in played if one.episode.kind == kind and one.needed]


def _of(played: Sequence[Played], holds: Callable[[Played], bool]) -> Estimate:
    return share(sum(map(holds, played)), len(played))


def _of_calls(played: Sequence[Played], count: Callable[[Played], int]) -> Estimate:
    return share(sum(map(count, played)), sum(one.calls for one in played))
