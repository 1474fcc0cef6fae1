"""Labels beside the judge's own words."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]
N = 200


def judged(
    label: Callable[[str, random.Random], str], words: str = "I think so. Response {} is better."
) -> list[dict[str, Any]]:
    """Rows whose winner is made of the judge's verdict, a or b, by `label`."""
    draw = random.Random(3)
    found = []
    for i in range(N):
        side = draw.choice("ab")
        row = {"prompt": f"prompt {i}", "response_a": f"one {i * 3}", "response_b": f"two {i * 5}"}
        found.append(row | {"winner": label(side, draw), "judgement": words.format(side.upper())})
    return found


def other(side: str) -> str:
    return "b" if side == "a" else "a"


def test_labels_that_follow_verdicts_raise_no_alarm(found: Found) -> None:
    assert found(judged(lambda side, _: side)) == {}


def test_labels_at_random(found: Found) -> None:
    seen = found(judged(lambda _, draw: draw.choice("ab")))["labels_ignore_verdicts"]
    assert seen.severity == "error"
    assert seen.of == N


def test_labels_that_are_reversed(found: Found) -> None:
    assert found(judged(lambda side, _: other(side)))["labels_reverse_verdicts"].hits == N


def test_some_labels_are_reversed(found: Found) -> None:
    seen = found(judged(lambda side, draw: other(side) if draw.random() < 0.1 else side))["labels_against_verdicts"]
    assert 10 < seen.hits < 35


def test_an_order_that_was_lost_is_known_from_the_column(found: Found) -> None:
    rows = judged(lambda side, _: side)
    turned = [row | {"swapped": i % 2 == 1} for i, row in enumerate(rows)]
    assert "labels_ignore_verdicts" in found(turned)  # the label was not turned back
    mended = [row | {"winner": other(row["winner"]) if row["swapped"] else row["winner"]} for row in turned]
    assert found(mended) == {}


@pytest.mark.parametrize("bug", [True, False])
def test_chosen_is_always_the_first_of_the_pair(found: Found, bug: bool) -> None:
    """The order is in what the judge was asked alone, which numbers responses from 0."""
    draw = random.Random(5)
    rows = []
    for i in range(N):
        pair = [f"The {i * 3}th answer isn't bad.", f"Some {i * 5} things\nto say."]
        turned, preferred = draw.randint(0, 1), draw.randint(0, 1)
        shown = pair[::-1] if turned else pair
        question = "".join(
            f"### Response {j}:\n{ {'content': text, 'role': 'assistant'} }\n" for j, text in enumerate(shown)
        )
        chosen, rejected = pair if bug or preferred == turned else pair[::-1]
        asked = {"role": "user", "content": f"prompt {i}"}
        rows.append(
            {
                "chosen": [asked, {"role": "assistant", "content": chosen}],
                "rejected": [asked, {"role": "assistant", "content": rejected}],
                "whole_conversation": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": f"Comparison: both are fine.\nPreferred: {preferred}"},
                ],
            }
        )
    assert ("labels_ignore_verdicts" in found(rows)) == bug


@pytest.mark.parametrize("words", ["", "Error: rate limit exceeded", "I would rather not compare these."])
def test_labels_without_a_verdict(found: Found, words: str) -> None:
    rows = judged(lambda side, _: side)
    failed = [row | {"judgement": words} if i % 8 == 0 else row for i, row in enumerate(rows)]
    seen = found(failed)["labels_without_verdict"]
    assert (seen.severity, seen.hits) == ("error", 25)


@pytest.mark.parametrize(("every", "told"), [(20, True), (100, False)])
def test_few_labels_without_a_verdict_are_told_where_they_are_over_two_in_a_hundred(
    found: Found, every: int, told: bool
) -> None:
    rows = [row | {"prompt": f"{row['prompt']} {i}"} for i in range(3) for row in judged(lambda side, _: side)]
    failed = [row | {"judgement": ""} if i % every == 0 else row for i, row in enumerate(rows)]
    assert ("labels_without_verdict" in found(failed)) == told


def test_a_judge_that_always_names_one_place(found: Found) -> None:
    rows = judged(lambda side, _: side, "Response A is better.")
    assert "one_verdict" in found(rows)


def test_verdicts_of_an_unknown_form_are_no_failures(found: Found) -> None:
    assert "labels_without_verdict" not in found(judged(lambda side, _: side, "Zzz {} qq"))
