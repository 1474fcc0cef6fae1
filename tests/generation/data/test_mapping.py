"""Columns are found by the field's name, or as the user says; slips of the pen are told with what is there."""

import pytest

from constitution.errors import UserError
from generation.data.mapping import columns

FIELDS = ("prompt", "responses", "id")


@pytest.mark.parametrize(
    "given",
    [("prompt=question", "id=key"), ("prompt=question,id=key",), (" prompt =question,id=key",), {"prompt": "question", "id": "key"}],
)  # fmt: skip
def test_fields_take_the_columns_that_are_named(given: tuple[str, ...]) -> None:
    found = columns(FIELDS, given)
    assert found.read == {"question", "responses", "key"}
    row = {"question": "Hi", "prompt": "other", "key": None, "x": 1}
    assert found.split(row) == ({"prompt": "Hi", "id": None}, {"prompt": "other", "x": 1})


def test_a_comma_without_a_further_sign_belongs_to_the_name() -> None:
    assert columns(FIELDS, ["prompt=a, b,id=c=d"]).mapped == {"prompt": "a, b", "id": "c=d"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("promt=question", "--map promt=question: got the field 'promt' (did you mean prompt?); allowed: prompt, responses, id"),
        ("prompt", "--map prompt: names no column; allowed: FIELD=COLUMN, as in prompt=question"),
        ("prompt=a,prompt=b", "--map prompt=b: got prompt=a too; allowed: one column a field"),
    ],
)  # fmt: skip
def test_a_mapping_that_is_none(given: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        columns(FIELDS, [given])
    assert str(error.value).startswith(message)


def test_the_same_twice_is_once() -> None:
    assert columns(FIELDS, ["prompt=a", "prompt=a"]).mapped == {"prompt": "a"}


def problem(given: list[str], seen: list[str], needed: tuple[str, ...] = ("prompt",)) -> str:
    with pytest.raises(UserError) as error:
        columns(FIELDS, given).check("rows", seen, needed)
    return str(error.value)


def test_a_column_that_is_not_there() -> None:
    assert problem(["prompt=qestion"], ["x", "question"]) == (
        "--map prompt=qestion: rows has no column qestion (did you mean question?); allowed: question, x"
    )


@pytest.mark.parametrize(
    ("seen", "hint"),
    [
        (["b", "text", "question"], "--map prompt=question"),
        (["text", " Prompt"], "--map 'prompt= Prompt'"),
        (["b", "a"], "--map prompt=COLUMN"),
    ],
)
def test_a_field_that_is_needed_and_in_no_column(seen: list[str], hint: str) -> None:
    said = problem([], seen)
    assert f"got columns {', '.join(sorted(seen))}" in said
    assert said.endswith(hint)


def test_one_of_those_needed_will_do() -> None:
    columns(FIELDS).check("rows", ["id"], ("prompt", "id"))
    columns(FIELDS, ["prompt=q"]).check("rows", ["q"], ("prompt",))
    columns(FIELDS).check("rows", [], ("prompt",))  # nothing was read: others say so
    columns(FIELDS).check("rows", ["x"], ())
