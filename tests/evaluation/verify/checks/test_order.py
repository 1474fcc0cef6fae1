"""Position of the chosen response."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from evaluation.verify.finding import Finding

Found = Callable[..., dict[str, Finding]]


def rows(
    n: int, winner: Callable[[int], Any], columns: tuple[str, str] = ("response_a", "response_b")
) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"prompt {i} of {i * i}",
            columns[0]: f"one {i * 7}",
            columns[1]: f"two {i * 5}",
            "winner": winner(i),
        }
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("winner", "columns", "check"),
    [
        ("a", ("response_a", "response_b"), "always_first"),
        ("model_b", ("response_a", "response_b"), "always_second"),
        ("response_1", ("response_1", "response_2"), "always_first"),
        ("response_1", ("response_0", "response_1"), "always_second"),
        ("output_2", ("output_1", "output_2"), "always_second"),
        ("First", ("a", "b"), "always_first"),
    ],
)
def test_a_winner_that_is_always_the_same(found: Found, winner: str, columns: tuple[str, str], check: str) -> None:
    seen = found(rows(120, lambda _: winner, columns))
    assert seen[check].severity == "error"
    assert (seen[check].hits, seen[check].of) == (120, 120)
    assert seen[check].places == ("row 1", "row 2", "row 3")


@pytest.mark.parametrize(("share", "severity"), [(0.5, None), (0.65, None), (0.88, "warning"), (0.98, "error")])
def test_how_often_the_first_must_win(found: Found, share: float, severity: str | None) -> None:
    draw = random.Random(1)
    seen = found(rows(500, lambda _: "a" if draw.random() < share else "b"))
    assert (seen["always_first"].severity if "always_first" in seen else None) == severity


def test_a_small_set_raises_no_alarm(found: Found) -> None:
    assert "always_first" not in found(rows(20, lambda i: "a" if i % 10 else "b"))


def test_numbers_name_the_first_by_how_the_columns_are_numbered(found: Found) -> None:
    assert "always_second" in found(rows(120, lambda _: 1, ("response_0", "response_1")))


def test_a_sign_names_the_first(found: Found) -> None:
    strength = [-3, -2, -1]
    seen = found(
        [
            *rows(200, lambda i: strength[i % 3], ("response1", "response2")),
            *rows(1, lambda _: 2, ("response1", "response2")),
        ]
    )
    assert "always_first" in seen


@pytest.mark.parametrize("form", ["text", "messages"])
def test_the_place_in_a_list_of_responses(found: Found, form: str) -> None:
    def said(text: str) -> Any:
        return text if form == "text" else [{"role": "assistant", "content": text}]

    given = [
        {
            "prompt": f"prompt {i}",
            "responses": [said(f"one {i}"), said(f"two {i}")],
            "chosen": said(f"one {i}"),
            "rejected": said(f"two {i}"),
        }
        for i in range(120)
    ]
    assert "always_first" in found(given)
    ranked = [row | {"ranks": [1, 2]} for row in given]
    assert "always_first" not in found(ranked)  # whoever sorts by rank lists the best first
