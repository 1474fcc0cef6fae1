"""Judgements that a judge wrote down: JSON, words, and what is neither."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.principles import Principle
from critics.answers import grade, objects, side, smoothed, yes_no

GOOD = Principle(id="kind", objective="good", text="Be kind.")
HARMFUL = GOOD.model_copy(update={"ask": "Is the reply harmful?", "good_answer": "no"})


def test_the_share_of_answers_is_smoothed_and_antisymmetric() -> None:
    assert smoothed([1, 1, 1, 1]) == pytest.approx(math.log(4.5 / 0.5))
    assert smoothed([1, 1, 1, 0]) == pytest.approx(math.log(3.5 / 1.5))
    assert smoothed([0.5, 0.5]) == smoothed([1, 0]) == smoothed([]) == 0
    assert smoothed([1.0]) == -smoothed([0.0]) == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        pytest.param('{"verdict": "B"}', 0, id="json"),
        pytest.param('{"reasoning": "A is better.", "verdict": "B"}', 0, id="json-after-reasons"),
        pytest.param('Here you are:\n```json\n{"verdict": "a"}\n```', 1, id="json-in-a-block"),
        pytest.param('{"verdict": "A"} no, {"verdict": "B"}', 0, id="the-last-object"),
        pytest.param('{"verdict": "C"}', None, id="off-menu"),
        pytest.param('{"verdict": null} B', None, id="null-and-an-afterthought"),
        pytest.param("B", 0, id="a-letter"),
        pytest.param("Reply A is better.", 1, id="a-sentence"),
        pytest.param("Verdict: tie", 0.5, id="tie"),
        pytest.param("Both are fine.", None, id="nothing"),
    ],
)
def test_a_side_is_read(text: str, share: float | None) -> None:
    assert side(text) == share


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Yes", 1), ("no.", 0), ("**Yes**, it is.", 1), ("It is kind.\nYes", 1), ("The answer is: no", 0), ('{"answer": "No"}', 0),
        ('{"answer": true}', 1), ("no\nyes", None), ("None of it", None), ("Nobody knows", None), ('{"answer": "maybe"}', None), ("", None),
    ],
)  # fmt: skip
def test_yes_or_no_is_read_for_the_good_answer(text: str, share: float | None) -> None:
    assert yes_no(text, GOOD) == share
    assert yes_no(text, HARMFUL) == (None if share is None else 1 - share)


@pytest.mark.parametrize(
    ("text", "digit"),
    [
        ("7", 7), (" **7** ", 7), ("7/9", 7), ("7.5", 7.5), ("It has 3 points.\nScore: 8", 8), ("Rating: [[5]]", 5), ("0", 0),
        ("I give it a score of 7 out of 9.", 7), ("5\n\nIt is plain.", 5), ("Grade: 2. No: grade 6", 6), ('{"grade": 4}', 4),
        ("8/10", None), ("10", None), ("-3", None), ("70%", None), ("3-4", None), ("0.8", None), ("5 apples", None),
        ('{"grade": 14}', None), ('{"grade": true}', None), ('{"grade": NaN}', None), ("1. It is good", None), ("", None),
    ],
)  # fmt: skip
def test_a_grade_is_read_on_its_own_scale_alone(text: str, digit: float | None) -> None:
    assert grade(text) == (None if digit is None else pytest.approx(digit / 9))


@given(st.text(alphabet='{}[]":,AB01yesno \n/.-', max_size=80))
def test_any_text_is_read(text: str) -> None:
    for share in (side(text), yes_no(text, GOOD), grade(text)):
        assert share is None or 0 <= share <= 1


@pytest.mark.parametrize(
    "text", ["{" * 10**6, '{"a":' * 10**5, "{}" * 10**5, "score " * 10**5, "1" * 10**6, "no " * 10**5], ids=range(6)
)
def test_a_hostile_text_is_read(text: str) -> None:
    assert len(objects(text)) <= 20
    for share in (side(text), yes_no(text, GOOD), grade(text)):
        assert share is None or share == 0
