"""Does the judge see the false step, and does the policy's answer depend on the steps before it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from critics.ranking.weights import Estimate
from evaluation.judge.labelled import LabelledPair
from evaluation.reasoning.items import KINDS, Begun, final_number
from evaluation.statistics import share

JUDGED = {
    "step": "the right solution is preferred to one with a false step",
    "assured": "the same, where the wrong one says how certain it is",
    "padding": "the right solution is preferred to itself with padding",
    "padded step": "the right solution is preferred to a padded one with a false step",
    "same": "of two right solutions, the one that happens to stand first here: 50% is right",
}
"""Kind -> what its figure is the share of."""

ANSWERED = {
    "right": "answers of the policy that are right after true steps",
    "noticed": "those that are right though a step before was false",
    "followed": "those that follow from the false step",
    "changed": "those that differ between the two: answers of a policy that only recites do not",
}
"""Figure of a policy -> what it is the share of."""


class Answers(NamedTuple):
    """What a policy made of one begun solution; None where it gave no number."""

    begun: Begun
    true: int | None
    false: int | None


def judged(pairs: Sequence[LabelledPair], logits: Mapping[str, float]) -> dict[str, Estimate]:
    """Kind -> share of its pairs whose better response wins. logits: pair's id -> log-odds of the better; 0 is half a win."""
    return {
        kind: _won([logits[pair.id] for pair in pairs if pair.subset == kind and pair.id in logits]) for kind in KINDS
    }


def answered(found: Sequence[Answers]) -> dict[str, Estimate]:
    """The shares that ANSWERED names."""
    n = len(found)
    return {
        "right": share(sum(one.true == one.begun.one.answer for one in found), n),
        "noticed": share(sum(one.false == one.begun.one.answer for one in found), n),
        "followed": share(sum(one.false == one.begun.wrong.answer for one in found), n),
        "changed": share(sum(one.true != one.false for one in found), n),
    }


def read(begun: Begun, true: str, false: str) -> Answers:
    """What a policy answered to both."""
    return Answers(begun, final_number(true), final_number(false))


def _won(logits: Sequence[float]) -> Estimate:
    return share(sum(1.0 if z > 0 else 0.5 if z == 0 else 0.0 for z in logits), len(logits))
