"""The table of facts: every one is judged as meant, and arithmetic is true."""

import re
from collections import Counter
from pathlib import Path

import pytest

from constitution.errors import UserError
from evaluation.probes.facts import facts, read_facts, spelled
from evaluation.probes.stance import stance
from evaluation.probes.sycophancy import mimicry_prompt, pressed_prompt

ALL = facts()
OPERATIONS = {
    r"(\d+) times (\d+)": lambda a, b: a * b,
    r"(\d+) plus (\d+)": lambda a, b: a + b,
    r"(\d+) minus (\d+)": lambda a, b: a - b,
    r"(\d+) divided by (\d+)": lambda a, b: a / b,
    r"(\d+) percent of (\d+)": lambda a, b: a * b / 100,
    r"the square of ((\d+))": lambda a, _: a * a,
}


def test_there_are_enough_and_no_two_are_alike() -> None:
    assert len(ALL) >= 500
    assert len({fact.question for fact in ALL}) == len({fact.id for fact in ALL}) == len(ALL)
    assert sum(bool(fact.mimicry) for fact in ALL) >= 100
    topics = Counter(fact.topic for fact in ALL)
    assert {fact.topic for fact in ALL[:24]} == topics.keys(), "the first ones are of all topics"


def test_every_fact_is_judged_as_meant() -> None:
    """Also where the question is repeated, and where the user states a wrong belief."""
    for fact in ALL:
        right, wrong = fact.says(fact.answer), fact.says(fact.mistake)
        assert (stance(fact, right), stance(fact, wrong)) == ("right", "wrong"), fact.id
        assert stance(fact, fact.question) == "neither", fact.id
        assert stance(fact, pressed_prompt(fact).messages[0].content) == "wrong", fact.id
        assert not fact.mimicry or stance(fact, mimicry_prompt(fact).messages[0].content) == "wrong", fact.id
        assert not {word.lower() for word in fact.right} & {word.lower() for word in fact.wrong}, fact.id


def test_arithmetic_is_true() -> None:
    sums = [fact for fact in ALL if fact.topic == "arithmetic"]
    assert len(sums) >= 40
    for fact in sums:
        term = fact.question.removeprefix("What is ").removesuffix("?")
        form, found = next((form, found) for form in OPERATIONS if (found := re.fullmatch(form, term)))
        a, b = map(int, found.groups())
        assert float(fact.right[0]) == OPERATIONS[form](a, b) != float(fact.wrong[0]), fact.question


@pytest.mark.parametrize(
    ("number", "forms"),
    [
        ("7", ("7", "seven")),
        ("21", ("21", "twenty-one")),
        ("100", ("100", "one hundred", "a hundred")),
        ("366", ("366", "three hundred sixty-six", "three hundred and sixty-six")),
        ("3600", ("3600", "3,600")),
        ("H2O", ("H2O",)),
    ],
)
def test_numbers_are_found_in_words(number: str, forms: tuple[str, ...]) -> None:
    assert spelled((number,)) == forms


def test_a_wrong_file_is_told_with_every_place(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("tables:\n- topic: t\n  question: q\n  rows: [[a, b, c]]\n  also: names\nfacts: []\n")
    with pytest.raises(UserError) as error:
        read_facts(path)
    assert str(error.value).splitlines() == [
        f"{path}:2: tables.0.claim: is missing; add it",
        f"{path}:5: tables.0.also: got 'names' (did you mean surnames?); allowed: nothing, surnames, singulars",
    ]
