"""What a label tells, and which pair comes next."""

import numpy as np
import pytest

from evaluation.judge.fitting import most_likely
from evaluation.review import order
from evaluation.review.order import DRAWN, EVERY, next_pairs, scaled, tells


def some(pairs: int, voters: int, seed: int = 0) -> order.Floats:
    return scaled(np.random.default_rng(seed).normal(size=(pairs, voters)))


def test_a_label_tells_what_it_takes_off_the_variance_of_all_pairs() -> None:
    rows = some(6, 2)
    p = 1 / (1 + np.exp(-rows.mean(1)))
    q = p * (1 - p)
    covariance = np.eye(2) / order.PENALTY
    before = [row @ covariance @ row for row in rows]
    expected = []
    for i in range(6):
        after = np.linalg.inv(order.PENALTY * np.eye(2) + q[i] * np.outer(rows[i], rows[i]))
        expected.append(sum(q[j] * (before[j] - rows[j] @ after @ rows[j]) for j in range(6)))
    assert tells(rows, {}, range(6)) == pytest.approx(expected)


def test_nothing_changes_when_pairs_are_turned_round() -> None:
    rows = some(30, 3)
    signs = np.random.default_rng(1).choice([-1, 1], 30)
    labels = {0: 1, 4: -1, 7: 1}
    turned = {i: int(side * signs[i]) for i, side in labels.items()}
    assert tells(rows * signs[:, None], turned, range(30)) == pytest.approx(tells(rows, labels, range(30)))


def test_a_pair_that_is_far_from_one_half_and_one_whose_like_is_labelled_tell_less() -> None:
    rows = np.array([[8.0, 8.0], [2.0, -2.0], [2.0, 2.1], [-2.0, 2.1], [0.0, 0.0]])
    sure, torn, _, like, silent = tells(rows, {}, range(5))
    assert torn > sure
    assert silent == 0
    labelled = tells(rows, {1: 1}, range(5))
    assert labelled[3] / labelled[2] < like / tells(rows, {}, range(5))[2]


def test_the_rule_looks_at_some_of_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = some(60, 2)
    whole = tells(rows, {}, range(60))
    monkeypatch.setattr(order, "MOST_PAIRS", 20)
    few = tells(rows, {}, range(60))
    assert 10 <= (few > 0).sum() <= 20
    assert (whole > 0).all()
    nearest = int(np.argmin(np.abs(rows.mean(1))))
    assert few[nearest] > 0


def test_every_fourth_pair_is_the_samples_and_everybody_gets_the_sample() -> None:
    rows, drawn = some(40, 2), np.random.default_rng(3).random(40)
    sample = [int(i) for i in np.argsort(drawn) if drawn[i] < DRAWN]
    first = next_pairs(rows, {}, drawn, set(), set(), 12)
    assert [i for place, i in enumerate(first) if place % EVERY == EVERY - 1] == sample[:3]
    assert not {i for place, i in enumerate(first) if place % EVERY != EVERY - 1} & {*sample}
    assert next_pairs(rows, {}, drawn, set(first[:4]), set(first[:4]), 8) == first[4:], (
        "one by one or at once is the same"
    )
    other = next_pairs(rows, {}, drawn, set(), set(first), 12)
    assert other[3] == first[3]
    assert not {*other} & ({*first} - {*sample})
    assert sorted(next_pairs(rows, {}, drawn, set(), set(range(40)), 99)) == [*range(40)]
    assert next_pairs(rows, {}, drawn, set(range(40)), set(range(40)), 5) == []


def test_few_labels_by_the_rule_find_weights_that_many_random_ones_find() -> None:
    truth = np.array([1.5, -1.0, 0.0, 0.0, 0.0, 0.0])
    rows = some(300, 6, 5)
    side = np.where(rows @ truth > 0, 1, -1)
    test = some(2000, 6, 6)

    def right(chosen: list[int]) -> float:
        weights = most_likely(rows[chosen] * side[chosen][:, None], 2.0)
        return float(np.mean((test @ weights > 0) == (test @ truth > 0)))

    labels: dict[int, int] = {}
    for _ in range(20):
        waiting = [i for i in range(300) if i not in labels]
        best = waiting[int(np.argmax(tells(rows, labels, waiting)))]
        labels[best] = int(side[best])
    drawn = [right([int(i) for i in np.random.default_rng(k).choice(300, 20, False)]) for k in range(40)]
    assert right([*labels]) > np.mean(drawn) + np.std(drawn)
