"""Which columns say what."""

from typing import Any

import pytest

from constitution.errors import UserError
from evaluation.verify.columns import recognize

VERDICT = "I like both. Response B is better."


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (
            {"prompt": "p", "chosen": "a", "rejected": "b"},
            {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        ),
        (
            {"Instruction": "p", "Chosen": "a", "Rejected": "b"},
            {"prompt": "Instruction", "chosen": "Chosen", "rejected": "Rejected"},
        ),
        (
            {"question": "p", "response_j": "a", "response_k": "b"},
            {"prompt": "question", "chosen": "response_j", "rejected": "response_k"},
        ),
        (
            {"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 1},
            {"prompt": "prompt", "first": "response_0", "second": "response_1", "winner": "better_response_id"},
        ),
        (
            {"prompt": "p", "a": "x", "b": "y", "chosen": "a"},
            {"prompt": "prompt", "first": "a", "second": "b", "winner": "chosen"},
        ),
        (
            {"conversation_a": [], "conversation_b": [], "winner": "model_a"},
            {"first": "conversation_a", "second": "conversation_b", "winner": "winner"},
        ),
        (
            {"prompt": "p", "completions": [{"response": "a", "overall_score": 3}]},
            {"prompt": "prompt", "responses": "completions"},
        ),
    ],
)
def test_fields(row: dict[str, Any], fields: dict[str, str]) -> None:
    assert dict(recognize("data", (), [row]).fields) == fields


def test_a_column_most_of_whose_texts_are_verdicts_is_taken_for_them() -> None:
    rows = [{"chosen": "a", "rejected": "b", "why": VERDICT if i else "no idea", "note": "a text"} for i in range(9)]
    assert recognize("data", (), rows).fields["verdict"] == "why"
    assert "verdict" not in recognize("data", (), rows[:2]).fields


def test_numbers_of_both_sides_are_scores() -> None:
    row = {
        "chosen": "a",
        "rejected": "b",
        "chosen_rating": 4,
        "rejected_rating": "2",
        "chosen_tokens": 9,
        "rejected_tokens": 8,
        "quality": 1,
    }
    assert recognize("data", (), [row]).scores == (("rating", "chosen_rating", "rejected_rating"),)
    row = {"answer_0": "a", "answer_1": "b", "winner": 0, "score_0": 4, "score_1": 2}
    assert recognize("data", (), [row]).scores == (("score", "score_0", "score_1"),)


@pytest.mark.parametrize(
    ("columns", "winners", "base"),
    [
        (("answer_0", "answer_1"), (0, 1), 0),
        (("answer_1", "answer_2"), (1, 2), 1),
        (("answer_1", "answer_2"), ("answer_1", "answer_2"), 1),
        (("human_ref_A", "human_ref_B"), (0, 1), 1),
        (("answer_a", "answer_b"), (-2, 3), -1),
        (("answer_a", "answer_b"), ("a", "b"), None),
    ],
)
def test_how_a_winner_is_coded(columns: tuple[str, str], winners: tuple[Any, ...], base: int | None) -> None:
    rows = [
        {columns[0]: "x", columns[1]: "y", ("labels" if "ref" in columns[0] else "winner"): winner}
        for winner in winners
    ]
    assert recognize("data", (), rows).base == base


def test_no_responses_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        UserError, match=r"got columns x.*chosen and rejected, two responses and a winner.*--map chosen=COLUMN"
    ):
        recognize("data", (), [{"x": 1}])
