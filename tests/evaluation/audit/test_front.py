"""Mixtures of two objectives, by hand."""

from __future__ import annotations

import pytest

from constitution.principles import Constitution, Principle
from constitution.records import Vote
from critics.ranking.aggregate import score
from evaluation.audit.sections.front import front


def test_objectives_in_conflict_have_a_front() -> None:
    """Half of the pairs are for the first by 3 to 1, half for the second by 1 to 3: at 1 : 1 each has its own, and so on either
    side until one's 3 is less than the other's 1, beyond 3 : 1."""
    points = front([(3.0, -1.0), (-1.0, 3.0)] * 10)
    assert [point.agrees for point in points] == [(1.0, 0.0), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.0, 1.0)]
    assert [point.weights[1] for point in points] == pytest.approx([0.0, 0.25, 0.3, 0.75, 0.8])


def test_objectives_that_agree_have_one_point() -> None:
    (point,) = front([(1.0, 2.0), (-0.5, -3.0)] * 5)
    assert (point.weights, point.agrees) == ((1.0, 0.0), (1.0, 1.0))
    assert front([]) == []


def test_a_point_is_had_again_by_its_weights() -> None:
    """Labels by a constitution with these weights agree with each objective in as many pairs as the point says."""
    scores = [(2.0, 1.0), (-0.1, 1.0), (2.0, -0.1), (-1.5, 0.7)]
    points = [point for point in front(scores) if min(point.weights) > 0]
    assert len(points) > 1
    for point in points:
        constitution = Constitution(
            name="both", version=1, objectives=dict(zip(("kind", "true"), point.weights, strict=True)),
            principles=tuple(Principle(id=name, objective=name, text=f"Be {name}.") for name in ("kind", "true")),
        )  # fmt: skip
        labels = [label(pair, constitution) for pair in scores]
        agrees = [
            sum(made * pair[i] > 0 for made, pair in zip(labels, scores, strict=True)) / len(scores) for i in (0, 1)
        ]
        assert agrees == list(point.agrees)


def label(pair: tuple[float, float], constitution: Constitution) -> float:
    votes = [
        Vote("p", "a", "b", name, z, -z, "compare", "judge") for name, z in zip(("kind", "true"), pair, strict=True)
    ]
    return score(votes, constitution).logit
