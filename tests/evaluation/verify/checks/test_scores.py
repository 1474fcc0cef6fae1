"""Scores beside labels."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]
Rows = list[dict[str, Any]]


def rated(
    pairs: Callable[[int], Rows], n: int = 400, names: tuple[str, str] = ("score_chosen", "score_rejected")
) -> Rows:
    """Whole scores of 1 to 10, the chosen one's higher."""
    draw = random.Random(2)
    found = []
    for row in pairs(n):
        worse, better = sorted(draw.sample(range(1, 11), 2))
        found.append(row | {names[0]: better, names[1]: worse})
    return found


def edited(rows: Rows, every: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Rows:
    return [row | change(row) if i % every == 0 else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    "names",
    [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"), ("chosen_reward", "rejected_reward")],
)
def test_sound_scores_raise_no_alarm(found: Found, pairs: Callable[[int], Rows], names: tuple[str, str]) -> None:
    assert found(rated(pairs, names=names)) == {}
    seen = found(edited(rated(pairs, names=names), 8, lambda row: {names[0]: row[names[1]], names[1]: row[names[0]]}))
    assert seen["swapped_pairs"].hits == 50


def test_constant_scores(found: Found, pairs: Callable[[int], Rows]) -> None:
    rows = [row | {"score_chosen": 3.0, "score_rejected": 3.0} for row in pairs(100)]
    assert found(rows)["constant_scores"].severity == "error"


@pytest.mark.parametrize(
    ("every", "change"),
    [
        (6, {"score_chosen": 3, "score_rejected": 3}),
        (10, {"score_chosen": 3.5}),
        (10, {"score_rejected": -100}),
        (8, {"score_rejected": 0}),
    ],
)
def test_a_score_that_stands_for_a_failure(
    found: Found, pairs: Callable[[int], Rows], every: int, change: dict[str, float]
) -> None:
    seen = found(edited([row for row in rated(pairs, 600) if row["score_rejected"] > 1], every, lambda _: change))
    assert seen["default_scores"].severity == "error"
    assert f" {next(iter(change.values())):g} stands for" in seen["default_scores"].what


def test_scores_that_are_missing(found: Found, pairs: Callable[[int], Rows]) -> None:
    seen = found(edited(rated(pairs), 10, lambda _: {"score_chosen": None}))
    assert seen["missing_scores"].hits == 40


def test_ties_with_a_label(found: Found, pairs: Callable[[int], Rows]) -> None:
    assert "tied_scores" in found(edited(rated(pairs), 6, lambda row: {"score_chosen": row["score_rejected"]}))


def test_labels_that_do_not_come_from_the_scores(found: Found, pairs: Callable[[int], Rows]) -> None:
    rows = edited(
        rated(pairs), 2, lambda row: {"score_chosen": row["score_rejected"], "score_rejected": row["score_chosen"]}
    )
    assert "labels_ignore_scores" in found(rows)
    reversed_ = edited(
        rated(pairs), 1, lambda row: {"score_chosen": row["score_rejected"], "score_rejected": row["score_chosen"]}
    )
    assert "labels_reverse_scores" in found(reversed_)


def test_another_judges_opinion_is_no_swap(found: Found, pairs: Callable[[int], Rows]) -> None:
    """It differs where it is hardly sure."""
    draw = random.Random(4)
    rows = []
    for row in pairs(1500):
        gap = draw.gauss(0, 1)
        rows.append(
            row
            | {
                "score_chosen": abs(gap) if draw.random() < 1 / (1 + 2.7 ** (-6 * abs(gap))) else -abs(gap),
                "score_rejected": 0.001 * draw.random(),
            }
        )
    assert "swapped_pairs" not in found(rows)


@pytest.mark.parametrize(
    ("name", "sound", "swapped", "undecided"), [("margin", 2.0, -1.0, 0.0), ("p_chosen", 0.9, 0.2, 0.5)]
)
def test_a_margin(
    found: Found, pairs: Callable[[int], Rows], name: str, sound: float, swapped: float, undecided: float
) -> None:
    rows = [row | {name: sound - 0.0001 * i} for i, row in enumerate(pairs(300))]
    assert found(rows) == {}
    assert found(edited(rows, 10, lambda _: {name: swapped}))["swapped_pairs"].hits == 30
    default = found(edited(rows, 5, lambda _: {name: undecided}))["default_scores"]
    assert (default.hits, default.of) == (60, 300)
    assert [place.rpartition(" ")[2].rpartition(":")[2] for place in default.places] == ["1", "6", "11"]
    assert "constant_scores" in found(edited(rows, 1, lambda _: {name: sound}))


def test_scores_of_a_list_belong_to_their_responses(found: Found) -> None:
    draw = random.Random(6)
    rows = []
    for i in range(200):
        scores = draw.sample(range(1, 11), 3)
        texts = [f"text {i} {j} {'long ' * draw.randint(0, 9)}" for j in range(3)]
        order = sorted(range(3), key=lambda j: scores[j])
        rows.append(
            {
                "prompt": f"p {i}",
                "responses": texts,
                "ratings": scores,
                "chosen": texts[order[2]],
                "rejected": texts[order[0]],
            }
        )
    assert found(rows) == {}
    assert "labels_reverse_scores" in found(
        [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    )
