"""Rules that a prompt's own row brings: the right answer, and checks of its own."""

import json

import pytest

from constitution.checks.check import Check
from constitution.errors import UserError
from constitution.records import Message, Prompt
from critics.rules.check import violates


def prompt(reference: str = "", **columns: object) -> Prompt:
    return Prompt(
        id="p",
        messages=(Message(role="user", content="?"),),
        reference=reference,
        metadata=json.dumps(columns) if columns else "",
    )


def broken(check: Check, asked: Prompt, text: str) -> str | None:
    return violates(check, asked, Message(role="assistant", content=text))


RIGHT = [
    (72, "72"), (72, "She has 24 + 48 = 72"), ("72", "Answer: 72."), ("#### 72", "24, so 72"), ("1,000", "It is 1000."),
    (1000, "That makes $1,000."), (0.5, "The answer is 1/2."), ("1/2", "0.5"), (-3, "x = -3"), (-3, "x = −3"), ("50%", "50 percent, so 50%"),
    (3, r"So \boxed{3}, and not 4"), (7, "**Answer:** 7"), (7, "4 of 9 failed.\n#### 7\n"), (2e3, "2e3"), (5, "5."), ("Paris", "Paris"),
    ("Paris", "It is large. The capital of France is Paris."), ("the Seine", "Answer: Seine"), ("x^{2}", r"\boxed{x^{2}}"),
    (["USA", "United States"], "It lies in the United States."), ("B", "The answer is B."), ("東京", "答え: 東京"),
]  # fmt: skip
WRONG = [
    (72, "71"), (72, "72 and then 73"), (72, "The answer is 73, not 72"), (72, ""), (72, "seventy"), (3, r"\boxed{4} 3"), (5, "15"), (5, "0.5"),
    ("Paris", "London"), ("Paris", "Parisian"), ("Paris", "Not Paris. It is London."), ("Paris", "Answer: London. Paris is in France."),
    ("Paris", ""), ("x^{2}", r"\boxed{x^{3}}"), ("B", "The answer is A. B is wrong."), (1, "1/0"), (10, "1,0"), ("B", "The answer is not B."),
]  # fmt: skip


@pytest.mark.parametrize(("right", "text"), RIGHT)
def test_right_answers(right: object, text: str) -> None:
    assert broken(Check(answer="answer"), prompt(answer=right), text) is None


@pytest.mark.parametrize(("right", "text"), WRONG)
def test_wrong_answers(right: object, text: str) -> None:
    assert "does not answer" in (broken(Check(answer="answer"), prompt(answer=right), text) or "")


def test_a_reference_may_be_the_answer_and_a_row_without_one_is_not_concerned() -> None:
    check = Check(answer="reference")
    assert broken(check, prompt("9"), "9") is None
    assert broken(check, prompt("9"), "8")
    assert broken(check, prompt(), "8") is None
    assert all(broken(Check(answer="key"), prompt(key=empty), "8") is None for empty in (None, "", []))


def test_a_row_brings_rules_of_its_own() -> None:
    check = Check(of_row="rules")
    for rules in ({"max_words": 2}, '{"max_words": 2}'):
        assert broken(check, prompt(rules=rules), "one two") is None
        assert broken(check, prompt(rules=rules), "one two three") == "3 words, over 2"
    assert broken(check, prompt(), "one two three") is None
    assert (
        broken(check, prompt(rules={"starts_with": "Dear", "json_schema": None}), "Hello")
        == "does not start with 'Dear'"
    )


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"max_wrods": 2}, "max_wrods"), ({}, "is empty"), ("{", "JSON"), ([1], "rules"), ({"own": "f"}, "names a function"),
        ({"of_row": "rules"}, "names a function or a column"), ({"answer": "x"}, "names a function or a column"),
        ({"must_match": "("}, "regular expression"),
    ],
)  # fmt: skip
def test_rules_that_are_none_are_refused_with_their_row(rules: object, said: str) -> None:
    with pytest.raises(UserError, match=r"row p, column 'rules'") as caught:
        broken(Check(of_row="rules"), prompt(rules=rules), "one")
    assert said in str(caught.value)
