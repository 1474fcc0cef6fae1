"""Problems, what collects them, and pydantic's errors told as problems."""

import pickle
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from constitution.errors import (
    Problem,
    Problems,
    SolonError,
    Unavailable,
    UserError,
    invalid,
    problems_of,
    shown,
    suggest,
)


class Small(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["small"] = "small"
    size: int = Field(default=1, ge=0)


class Large(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["large"] = "large"
    width: float = 1.0


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    parts: tuple[Annotated[Small | Large, Field(discriminator="kind")], ...] = ()
    by_name: dict[str, Small] = Field(default_factory=dict)
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> "Whole":
        if self.low > self.high:
            raise invalid(f"got {self.low}", f"at most high, {self.high}", "raise high", key="low")
        return self


def told(data: object) -> list[str]:
    with pytest.raises(ValidationError) as error:
        Whole.model_validate(data)
    return [str(problem) for problem in problems_of(error.value, Whole, "run.yaml")]


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem("a.yaml:3", "id", "got 'A b'", "lower-case words", "write a-b"),
            "a.yaml:3: id: got 'A b'; allowed: lower-case words; write a-b",
        ),
        (Problem("a.yaml", got="no such file"), "a.yaml: no such file"),
        (Problem("", "plan.samples", "got 0", "1 or more"), "plan.samples: got 0; allowed: 1 or more"),
        (Problem("--set", "x", fix="leave it out"), "--set: x: leave it out"),
    ],
)
def test_a_problem_is_its_parts_in_order(problem: Problem, text: str) -> None:
    assert str(problem) == text


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ({"name": "a", "nmae": 1}, ["run.yaml: nmae: unknown key (did you mean name?); allowed: by_name, high, low, name, parts"]),
        ({}, ["run.yaml: name: is missing; add it"]),
        ({"name": 3}, ["run.yaml: name: got 3; allowed: a string"]),
        ({"name": "a", "low": 2}, ["run.yaml: low: got 2; allowed: at most high, 1; raise high"]),
        (
            {"name": "a", "parts": [{"kind": "small", "size": -1}, {"kind": "large", "wide": 1}]},
            [
                "run.yaml: parts.0.size: got -1; allowed: at least 0",
                "run.yaml: parts.1.wide: unknown key (did you mean width?); allowed: kind, width",
            ],
        ),
        ({"name": "a", "by_name": {"small": {"size": "x"}}}, ["run.yaml: by_name.small.size: got 'x'; allowed: a whole number"]),
    ],
    ids=["unknown", "missing", "type", "custom", "union", "key-like-a-tag"],
)  # fmt: skip
def test_pydantics_errors_name_the_key_the_value_and_what_is_allowed(data: object, lines: list[str]) -> None:
    assert told(data) == lines


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Typed(BaseModel):
    engine: Literal["vllm", "replay"] = "vllm"
    other: Annotated[Literal["vllm", "replay"] | None, Field(description="as engine")] = None
    colour: Colour = Colour.RED
    half: float = Field(default=0.25, gt=0, lt=0.5)
    most: int = Field(default=1, ge=1, le=8)
    flag: bool = False
    folder: Path = Path()
    text: str = Field(default="abc", min_length=2, max_length=3, pattern="^[a-z]*$")
    items: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=2)
    part: Annotated[Small | Large, Field(discriminator="kind")] = Small()
    even: int = Field(default=2, multiple_of=2)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"engine": "vlm"}, "engine: got 'vlm' (did you mean vllm?); allowed: vllm, replay"),
        ({"engine": 3}, "engine: got 3; allowed: vllm, replay"),
        ({"other": "none"}, "other: got 'none'; allowed: vllm, replay"),
        ({"colour": "blu"}, "colour: got 'blu' (did you mean blue?); allowed: red, blue"),
        ({"half": 0}, "half: got 0; allowed: greater than 0"),
        ({"half": 0.5}, "half: got 0.5; allowed: less than 0.5"),
        ({"half": "x"}, "half: got 'x'; allowed: a number"),
        ({"most": 0}, "most: got 0; allowed: at least 1"),
        ({"most": 9}, "most: got 9; allowed: at most 8"),
        ({"most": 1.5}, "most: got 1.5; allowed: a whole number"),
        ({"flag": "perhaps"}, "flag: got 'perhaps'; allowed: true or false"),
        ({"folder": 3}, "folder: got 3; allowed: a path"),
        ({"text": "a"}, "text: got 'a'; allowed: a string of 2 or more characters"),
        ({"text": "abcd"}, "text: got 'abcd'; allowed: a string of 3 or fewer characters"),
        ({"text": "A1"}, "text: got 'A1'; allowed: a string that matches ^[a-z]*$"),
        ({"items": []}, "items: got []; allowed: 1 or more items"),
        ({"items": [1, 2, 3]}, "items: got [1, 2, 3]; allowed: 2 or fewer items"),
        ({"items": "1"}, "items: got '1'; allowed: a list; write [1]"),
        ({"part": {"kind": "middle"}}, "part: got 'kind' 'middle'; allowed: 'small', 'large'"),
        ({"part": {}}, "part: has no 'kind'; add it"),
        ({"even": 3}, "even: got 3; input should be a multiple of 2"),
    ],
)  # fmt: skip
def test_what_is_allowed_is_told_for_each_kind_of_error(data: object, line: str) -> None:
    with pytest.raises(ValidationError) as error:
        Typed.model_validate(data)
    assert [str(problem) for problem in problems_of(error.value, Typed)] == [line]


def test_the_place_may_depend_on_the_location() -> None:
    with pytest.raises(ValidationError) as error:
        Whole.model_validate({"name": "a", "parts": [{"kind": "small", "size": -1}]})
    (problem,) = problems_of(error.value, Whole, lambda where: "/".join(map(str, where)))
    assert (problem.place, problem.key) == ("parts/0/size", "parts.0.size")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"url": "http://bob:hunter2@h/v1?key=abc&x=1"}, "{'url': 'http://[secret]@h/v1?key=[secret]&x=1'}"),
        ("Authorization: Bearer sk-1", "'Authorization: [secret]'"),
        ({"api_key": "sk-1", "a": 1}, "{'api_key': '[secret]', 'a': 1}"),
        ({"max_tokens": 5}, "{'max_tokens': 5}"),
        ({"key": "${NAME}"}, "{'key': '${NAME}'}"),
    ],
)
def test_credentials_in_a_value_are_not_shown(value: object, told: str) -> None:
    assert shown(value) == told


def test_a_long_value_is_shown_by_its_beginning() -> None:
    (line,) = told({"name": ["x" * 500]})
    assert "xxx..." in line
    assert len(line) < 150


def test_all_problems_are_collected_and_equal_ones_told_once() -> None:
    problems = Problems()
    problems.check()
    problems.add("--out", got="no folder")
    for _ in range(2):
        with problems.collect("reward"):
            raise UserError([Problem("", "rules", "got 0"), Problem("", "", "empty")])
    with problems.collect():
        pass
    with pytest.raises(UserError) as error:
        problems.check()
    assert str(error.value) == "--out: no folder\nreward.rules: got 0\nreward: empty"


def test_what_is_no_user_error_is_not_collected() -> None:
    with pytest.raises(Unavailable), Problems().collect():
        raise Unavailable("no server")


def test_errors_survive_a_process_border() -> None:
    error = pickle.loads(pickle.dumps(UserError(Problem("a", "b", "c", "d", "e"))))
    assert error.problems == (Problem("a", "b", "c", "d", "e"),)
    assert isinstance(error, SolonError)


@pytest.mark.parametrize(("word", "hint"), [("smaples", " (did you mean samples?)"), ("zzz", "")])
def test_a_close_word_is_suggested(word: str, hint: str) -> None:
    assert suggest(word, ["samples", "seed"]) == hint


def test_a_problem_of_what_a_setting_names_keeps_its_place() -> None:
    problems = Problems()
    with problems.collect("reward", setting="rules.constitution"):
        raise UserError([Problem("c.yaml:3", "weight", "got 0"), Problem("", "weight", "got 0")])
    assert [str(problem) for problem in problems.found] == [
        "reward.rules.constitution: c.yaml:3: weight: got 0",
        "reward.rules.constitution.weight: got 0",
    ]
