"""Problems, what collects them, and pydantic's errors told as problems."""

import pickle
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from constitution.errors import Problem, Problems, SolonError, Unavailable, UserError, invalid, problems_of, suggest


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
        ({"name": 3}, ["run.yaml: name: got 3; input should be a valid string"]),
        ({"name": "a", "low": 2}, ["run.yaml: low: got 2; allowed: at most high, 1; raise high"]),
        (
            {"name": "a", "parts": [{"kind": "small", "size": -1}, {"kind": "large", "wide": 1}]},
            [
                "run.yaml: parts.0.size: got -1; input should be greater than or equal to 0",
                "run.yaml: parts.1.wide: unknown key (did you mean width?); allowed: kind, width",
            ],
        ),
        ({"name": "a", "by_name": {"small": {"size": "x"}}}, ["run.yaml: by_name.small.size: got 'x'; input should be a valid integer, unable to parse string as an integer"]),
    ],
    ids=["unknown", "missing", "type", "custom", "union", "key-like-a-tag"],
)  # fmt: skip
def test_pydantics_errors_name_the_key_the_value_and_what_is_allowed(data: object, lines: list[str]) -> None:
    assert told(data) == lines


def test_the_place_may_depend_on_the_location() -> None:
    with pytest.raises(ValidationError) as error:
        Whole.model_validate({"name": "a", "parts": [{"kind": "small", "size": -1}]})
    (problem,) = problems_of(error.value, Whole, lambda where: "/".join(map(str, where)))
    assert (problem.place, problem.key) == ("parts/0/size", "parts.0.size")


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
