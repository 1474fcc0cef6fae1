"""What decides labels besides what is said."""

from collections.abc import Callable
from typing import Any

import pytest

from evaluation.verify.checks.responses import breaks_off
from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]
Rows = list[dict[str, Any]]
Make = Callable[[int], Rows]
SAID = "This is a first sentence. Here is a second one that goes on for a while, so that it is long enough to be read"


def edited(rows: Rows, every: int, **texts: Callable[[str], str]) -> Rows:
    return [
        row | {key: make(row[key]) for key, make in texts.items()} if i % every == 0 else row
        for i, row in enumerate(rows)
    ]


def test_sound_pairs_raise_no_alarm(found: Found, pairs: Make) -> None:
    assert found(pairs(300)) == {}
    assert found(pairs(12)) == {}


@pytest.mark.parametrize(("chosen", "word"), [(max, "longer"), (min, "shorter")])
def test_length_alone_decides(found: Found, pairs: Make, chosen: Callable[..., str], word: str) -> None:
    other = min if chosen is max else max
    texts = [(row, (row["chosen"], row["rejected"])) for row in pairs(300)]
    seen = found([row | {"chosen": chosen(two, key=len), "rejected": other(two, key=len)} for row, two in texts])
    assert seen["length_decides"].severity == "error"
    assert f"the {word} response" in seen["length_decides"].what


def test_length_nearly_decides(found: Found, pairs: Make) -> None:
    rows = []
    for i, row in enumerate(pairs(600)):
        short, long = sorted((row["chosen"], row["rejected"]), key=len)
        rows.append(row | ({"chosen": short, "rejected": long} if i % 12 == 0 else {"chosen": long, "rejected": short}))
    assert found(rows)["length_decides"].severity == "warning"


@pytest.mark.parametrize(
    ("check", "text"),
    [("empty_responses", " \n"), ("failed_responses", "Error: 429 too many requests"), ("failed_responses", "None")],
)
def test_responses_that_are_none(found: Found, pairs: Make, check: str, text: str) -> None:
    seen = found(edited(pairs(300), 15, rejected=lambda _: text))
    assert (seen[check].severity, seen[check].hits) == ("error", 20)


def test_a_few_empty_ones_are_a_note(found: Found, pairs: Make) -> None:
    assert "empty_responses" not in found(edited(pairs(300), 200, rejected=lambda _: ""))


def test_identical_responses_but_for_white_space(found: Found, pairs: Make) -> None:
    rows = [row | {"rejected": f"{row['chosen']} \n"} if i % 10 == 0 else row for i, row in enumerate(pairs(300))]
    assert found(rows)["identical_responses"].hits == 30


def test_one_text_for_many_prompts(found: Found, pairs: Make) -> None:
    seen = found(edited(pairs(300), 15, rejected=lambda _: "Sorry, that went wrong somewhere."))["repeated_response"]
    assert (seen.severity, seen.hits) == ("error", 20)


def test_refusals_on_one_side(found: Found, pairs: Make) -> None:
    seen = found(edited(pairs(300), 3, rejected=lambda text: f"I'm sorry, but I can't help with that. {text}"))
    assert seen["refusal_decides"].severity == "warning"
    both = edited(
        pairs(300),
        3,
        rejected=lambda text: f"I can't help with that. {text}",
        chosen=lambda text: f"I can't help with that. {text}",
    )
    assert "refusal_decides" not in found(both)


def test_one_side_breaks_off(found: Found, pairs: Make) -> None:
    assert "one_side_truncated" in found(edited(pairs(300), 4, rejected=lambda text: f"{text} {SAID}"))
    both = edited(pairs(300), 4, rejected=lambda text: f"{text} {SAID}", chosen=lambda text: f"{text} {SAID}")
    assert "one_side_truncated" not in found(both)


def test_the_dataset_says_what_is_cut_off(found: Found, pairs: Make) -> None:
    rows = [
        row | {"chosen_finish_reason": "stop", "rejected_finish_reason": "length" if i % 5 == 0 else "stop"}
        for i, row in enumerate(pairs(300))
    ]
    assert found(rows)["one_side_truncated"].hits == 60


def test_texts_cut_at_a_length(found: Found, pairs: Make) -> None:
    long = edited(pairs(300), 1, rejected=lambda text: f"{text} {'and so on, ' * 30}")
    assert "cut_at_length" in found(edited(long, 3, rejected=lambda text: text[:200] + "x" * 400))


def test_the_prompt_in_one_response(found: Found, pairs: Make) -> None:
    rows = [
        row | {"rejected": f"{row['prompt']} {row['rejected']}"} if i % 4 == 0 else row
        for i, row in enumerate(pairs(300))
    ]
    assert "prompt_in_one_side" in found(rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SAID, True),
        (f"{SAID}.", False),
        (f'{SAID}."', False),
        (f"{SAID}\n```", False),
        (f"{SAID} 🙂", False),
        (f"{SAID},", True),
        ("no sentences " * 20, False),
        ("A short one. And", False),
    ],
)
def test_a_text_that_breaks_off(text: str, expected: bool) -> None:
    assert breaks_off(text) == expected
