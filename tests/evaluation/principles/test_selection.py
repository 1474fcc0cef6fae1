"""Which principles are chosen."""

import numpy as np
import pytest

from evaluation.principles.selection import choose, measure
from evaluation.statistics import Floats

N = 300
GROUPS = [str(i) for i in range(N)]


def made(columns: int, *weights: float) -> Floats:
    """Votes of which the first columns made the labels: each row is turned so that their weighted sum is positive."""
    draw = np.random.default_rng(1)
    votes = draw.normal(size=(N, columns))
    sums = votes[:, : len(weights)] @ np.array(weights) + 0.2 * draw.normal(size=N)
    turned: Floats = votes * np.where(sums > 0, 1, -1)[:, None]
    return turned


def test_those_that_made_the_labels_are_chosen_by_what_they_count() -> None:
    found = choose(made(12, 1.0, 0.5), GROUPS, 10)
    assert found.places[:2] == (0, 1)
    assert len(found.places) <= 4
    assert found.weights[0] > 1.5 * found.weights[1] > 0


def test_a_copy_is_not_chosen_twice() -> None:
    votes = made(4, 1.0)
    doubled = np.hstack([votes, votes[:, :1] + 0.01 * np.random.default_rng(2).normal(size=(N, 1))])
    assert len(choose(doubled, GROUPS, 10).places) == 1


def test_votes_of_another_scale_and_missing_ones() -> None:
    votes = made(6, 1.0, 1.0) * np.array([100.0, 0.01, 1, 1, 1, 1])
    votes[::7, 0] = np.nan
    found = choose(votes, GROUPS, 10)
    assert set(found.places[:2]) == {0, 1}
    assert found.weights[found.places.index(1)] > 1000 * found.weights[found.places.index(0)]


def test_nothing_is_chosen_of_what_says_nothing_or_the_reverse() -> None:
    votes = np.random.default_rng(3).normal(size=(N, 8))
    assert len(choose(votes, GROUPS, 10).places) <= 1
    assert choose(-made(1, 1.0), GROUPS, 10).places == ()


def test_at_most_so_many() -> None:
    assert len(choose(made(12, 1.0, 1.0, 1.0), GROUPS, 2).places) == 2


@pytest.mark.model
def test_accuracy_is_measured_on_pairs_that_played_no_part() -> None:
    found = measure(made(12, 1.0, 0.5), GROUPS, 10)
    assert found.chosen.value > 0.9
    chance = measure(np.random.default_rng(4).normal(size=(N, 40)), GROUPS, 10)
    assert chance.whole.value == pytest.approx(0.5, abs=0.1)
    assert chance.chosen.value == pytest.approx(0.5, abs=0.1)
