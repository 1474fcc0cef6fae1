"""Command lines made from settings models."""

import argparse
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationInfo, field_validator

from constitution.errors import UserError, invalid
from constitution.options import Option, Options, add_options, arguments, parse


class Bake(Options):
    """Settings of a command that bakes."""

    recipe: Annotated[Path, Option("FILE", positional=True)]
    """What to bake."""
    oven_heat: Annotated[int, Option("DEGREES")] = Field(default=180, ge=50)
    """How hot the oven is, 100% of the time."""
    seed: int = 0
    """Seed of the sprinkles."""
    salt: Literal["sea", "rock"] = "sea"
    """Which salt."""
    toppings: Annotated[tuple[str, ...], Option("NAME", "--with")] = ()
    """One topping;
    repeatable."""
    cold: bool = False
    """Leave the oven off."""
    timer: float | None = None
    """Minutes (default: until it is done)."""

    @field_validator("timer")
    @classmethod
    def _hot(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value and info.data.get("cold"):
            raise invalid("nothing bakes with --cold", fix="leave one of them out")
        return value


def test_options_are_read_into_the_model() -> None:
    assert parse(Bake, ["bread"]) == Bake(recipe=Path("bread"))
    given = [
        "bread",
        "--oven-heat",
        "200",
        "--salt",
        "rock",
        "--with",
        "seeds",
        "--with",
        "oats",
        "--cold",
        "--seed",
        "7",
    ]
    assert parse(Bake, given) == Bake(
        recipe=Path("bread"), oven_heat=200, salt="rock", toppings=("seeds", "oats"), cold=True, seed=7
    )


def test_help_is_what_stands_under_the_fields() -> None:
    parser = argparse.ArgumentParser(prog="bake", formatter_class=lambda prog: argparse.HelpFormatter(prog, width=120))
    add_options(parser, Bake)
    lines = [" ".join(line.split()) for line in parser.format_help().splitlines()]
    assert "FILE What to bake" in lines
    assert "--oven-heat DEGREES How hot the oven is, 100% of the time (default: 180)" in lines
    assert "--seed SEED Seed of the sprinkles (default: 0)" in lines
    assert "--salt {sea,rock} Which salt (default: sea)" in lines
    assert "--with NAME One topping; repeatable" in lines
    assert "--cold Leave the oven off" in lines


def test_everything_wrong_is_told_at_once_and_at_its_option() -> None:
    with pytest.raises(UserError) as error:
        parse(Bake, ["bread", "--oven-heat", "20", "--seed", "x", "--cold", "--timer", "3"])
    assert [(problem.place, problem.key, problem.got) for problem in error.value.problems] == [
        ("--oven-heat", "", "got '20'"),
        ("--seed", "", "got 'x'"),
        ("--timer", "", "nothing bakes with --cold"),
    ]


def test_what_argparse_knows_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ([], ["bread", "--salt", "table"]):
        with pytest.raises(SystemExit, match="2"):
            parse(Bake, given)
    assert "the following arguments are required: FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        Bake(recipe=Path("bread")),
        Bake(recipe=Path("bread"), oven_heat=200, toppings=("nuts", "oats"), timer=2.5),
        Bake(recipe=Path("bread"), cold=True, salt="rock"),
    ],
)
def test_a_command_line_is_read_as_the_settings_that_it_was_made_from(settings: Bake) -> None:
    assert parse(Bake, arguments(settings)) == settings
