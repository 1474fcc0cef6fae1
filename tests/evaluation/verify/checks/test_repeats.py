"""Rows that repeat or contradict others."""

import random
from collections.abc import Callable
from itertools import combinations
from typing import Any

from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]
Rows = list[dict[str, Any]]
Make = Callable[[int], Rows]


def test_duplicates_but_for_case_and_white_space_of_the_prompt(found: Found, pairs: Make) -> None:
    rows = pairs(200)
    seen = found([*rows, *(row | {"prompt": row["prompt"].upper()} for row in rows[:20])])["duplicates"]
    assert (seen.hits, seen.of) == (20, 220)
    assert seen.places[0] == "row 201"


def test_opposite_labels_of_one_pair(found: Found, pairs: Make) -> None:
    rows = pairs(200)
    seen = found([*rows, *(row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows[:10])])
    assert seen["contradictions"].hits == 10
    assert "duplicates" not in seen
    assert seen["contradictions"].places == ("row 1", "row 201")


def test_many_pairs_of_one_prompt_are_sound(found: Found) -> None:
    rows = []
    for i in range(60):
        texts = [f"{i} {j} {'word ' * ((i + 3 * j) % 7)}" for j in range(4)]
        rows += [
            {"prompt": f"prompt {i}", "chosen": texts[a], "rejected": texts[b]} for a, b in combinations(range(4), 2)
        ]
    assert found(rows) == {}


def test_labels_at_random_go_round_in_circles(found: Found) -> None:
    draw = random.Random(0)
    rows = []
    for i in range(60):
        for pair in combinations(range(4), 2):
            one, other = draw.sample(pair, 2)
            rows.append({"prompt": f"prompt {i}", "chosen": f"{i} {one} text", "rejected": f"{i} {other} text"})
    assert found(rows)["cycles"].severity == "error"
