"""Warnings about constitutions that load."""

import pytest

from constitution.lint import near_duplicates
from constitution.principles import Principle


def principle(name: str, text: str, **fields: object) -> Principle:
    return Principle.model_validate({"id": name, "objective": "good", "text": text, **fields})


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        pytest.param(
            "one two three four five six seven", "one two three four five six seven eight nine ten", 0.7, id="at"
        ),
        pytest.param("one two three four five six", "one two three four five six seven eight nine", None, id="below"),
        pytest.param("Be kind, and honest.", "BE HONEST: kind", 1.0, id="case-order-and-small-words-aside"),
        pytest.param("Be kind.", "Be honest.", None, id="apart"),
    ],
)
def test_principles_that_share_seven_words_of_ten_say_nearly_the_same(
    first: str, second: str, share: float | None
) -> None:
    pairs = near_duplicates([principle("a", first), principle("b", second)])
    assert [found for _, _, found in pairs] == ([] if share is None else [pytest.approx(share)])


def test_rules_are_no_duplicates_of_what_is_judged() -> None:
    rule = principle("b", "Be brief.", check={"max_words": 3})
    assert near_duplicates([principle("a", "Be brief."), rule]) == []
