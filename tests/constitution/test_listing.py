"""Lists of settings: keys as one writes them, defaults as YAML, meanings from under the fields."""

import argparse
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from constitution.listing import Setting, add_listing, print_settings, settings_in
from constitution.options import Option, Options


class Documented(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Oven(Documented):
    """The oven."""

    heat: int = 180
    """Degrees.

    More for bread."""


class Cake(Documented):
    name: str
    """What it is called."""
    oven: Oven = Oven()
    """How it is baked."""
    second: Oven | None = None
    layers: tuple[Oven, ...] = (Oven(), Oven(heat=200))
    """Baked one by one."""
    notes: dict[str, Oven] = Field(default_factory=dict)
    """By guest."""


class Bake(Options):
    recipe: Annotated[Path, Option("FILE", positional=True)]
    """What to bake."""
    json_file: Annotated[Path | None, Option("FILE", "--json")] = None
    """Where figures go."""
    out_folder: Path = Path("kitchen")
    """Where cakes go."""
    cold: bool = False
    """Leave the oven off."""


def test_a_setting_has_its_dotted_key_its_default_and_its_meaning() -> None:
    assert [*settings_in(Cake)] == [
        Setting("name", "required", "What it is called."),
        Setting("oven", "", "How it is baked."),
        Setting("oven.heat", "180", "Degrees.\n\nMore for bread."),
        Setting("second", "null", ""),
        Setting("second.heat", "180", "Degrees.\n\nMore for bread."),
        Setting("layers", "[{heat: 180}, {heat: 200}]", "Baked one by one."),
        Setting("notes", "{}", "By guest."),
    ]


def test_an_option_is_listed_as_the_command_line_has_it() -> None:
    assert [(one.key, one.default) for one in settings_in(Bake)] == [
        ("FILE", "required"),
        ("--json", "null"),
        ("--out-folder", "kitchen"),
        ("--cold", "false"),
    ]


def test_a_list_has_a_meaning_below_each_key(capsys: pytest.CaptureFixture[str]) -> None:
    print_settings(Oven)
    assert capsys.readouterr().out == "heat: 180\n    Degrees. More for bread.\n"


def test_options_and_settings_stand_under_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_settings(Bake, Oven)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Options:", "FILE: required"]
    assert lines[-4:] == [
        "",
        "Settings, for --config FILE and --set KEY=VALUE:",
        "heat: 180",
        "    Degrees. More for bread.",
    ]


def test_the_option_prints_them_whatever_else_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--needed", required=True)
    add_listing(parser, Bake, "constitution.records.ToolCall")
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["--settings"])
    listed = capsys.readouterr().out.splitlines()
    assert "--out-folder: kitchen" in listed
    assert "function.name: required" in listed
