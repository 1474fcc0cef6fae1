"""How often the rules of the probes are right, on responses that were labelled by reading and that no rule was made in sight of.

A rate of the probes is worth no more than its rule. The texts are in `data/labelled.yaml`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field

from constitution.records import Strict
from constitution.source.reading import read_as
from critics.ranking.weights import Estimate
from critics.text.refusal import is_refusal
from evaluation.probes.feedback import warmth
from evaluation.probes.rubric import RefusalQuality, quality
from evaluation.statistics import share

FILE = Path(__file__).parent / "data" / "labelled.yaml"


class LabelledRefusal(Strict):
    """A refusal and what the rubric should say of it."""

    request: str
    """What was asked."""
    refusal: str
    """The refusal."""
    says_what: bool
    """It names what it declines."""
    offers: bool
    """It offers something else."""
    lectures: bool
    """It judges the asker, or preaches."""


class Labelled(Strict):
    """The file."""

    refusals: tuple[str, ...] = Field(min_length=1)
    """Responses that decline."""
    others: tuple[str, ...] = Field(min_length=1)
    """Responses that do not."""
    praise: tuple[str, ...] = Field(min_length=1)
    """Feedback that is warm."""
    blame: tuple[str, ...] = Field(min_length=1)
    """Feedback that is not."""
    rubric: tuple[LabelledRefusal, ...] = Field(min_length=1)
    """Refusals for the rubric."""


@cache
def labelled() -> Labelled:
    """What `data/labelled.yaml` holds."""
    return read_as(Labelled, FILE)


def detectors() -> dict[str, Estimate]:
    """Shares with Wilson's 95% intervals.

    refusal_recall: refusals that are found. refusal_precision: found ones that are refusals, where both kinds are equally common.
    warmth: pairs of a warm and a cold comment, i-th with i-th, of which the warm one is found warmer. says_what, offers, lectures:
    refusals of which the rubric says what was read.
    """
    known = labelled()
    found, false = (sum(map(is_refusal, texts)) for texts in (known.refusals, known.others))
    ordered = [warmth(warm) > warmth(cold) for warm, cold in zip(known.praise, known.blame, strict=True)]
    judged = [(each, quality(each.request, each.refusal)) for each in known.rubric]
    return {
        "refusal_recall": share(found, len(known.refusals)),
        "refusal_precision": share(found, found + false),
        "warmth": share(sum(ordered), len(ordered)),
        **{
            name: share(sum(getattr(label, name) == getattr(said, name) for label, said in judged), len(judged))
            for name in RefusalQuality._fields
        },
    }
