"""Prompts that are in two splits."""

from collections.abc import Callable
from typing import Any

from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]
Rows = list[dict[str, Any]]
Make = Callable[[int], Rows]


def other(row: dict[str, Any], prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": f"Another {row['chosen']}", "rejected": f"Other {row['rejected']}"}


def test_splits_that_share_nothing_raise_no_alarm(found: Found, pairs: Make) -> None:
    assert found(pairs(300)[:240], pairs(300)[240:]) == {}


def test_prompts_of_one_split_in_another(found: Found, pairs: Make) -> None:
    rows = pairs(300)
    test = [*rows[240:], *(other(row, f" {row['prompt'].lower()}") for row in rows[:8])]
    seen = found(rows[:240], test)["split_leaks"]
    assert (seen.severity, seen.hits, seen.of) == ("error", 8, 68)
    assert seen.places[0] == "test:61"


def test_prompts_that_are_nearly_in_another(found: Found, pairs: Make) -> None:
    rows = pairs(300)
    test = [*rows[240:], *(other(row, f"{row['prompt']} Please.") for row in rows[:16])]
    assert found(rows[:240], test)["near_split_leaks"].hits == 16


def test_a_column_may_name_the_split(found: Found, pairs: Make) -> None:
    rows = [row | {"split": "train" if i < 240 else "test"} for i, row in enumerate(pairs(300))]
    assert found(rows) == {}
    leaked = [*rows, *(other(row, row["prompt"]) | {"split": "test"} for row in rows[:10])]
    assert found(leaked)["split_leaks"].hits == 10
