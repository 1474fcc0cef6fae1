"""Reads settings: a YAML file, then `--set key=value`, then flags, into a model that is checked before anything heavy loads."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from constitution.errors import Location, Problem, Problems, UserError, problems_of
from constitution.listing import as_yaml
from constitution.records import Strict
from constitution.source.reading import UNREADABLE, excess, parse

T = TypeVar("T", bound=Strict)
_BAD_YAML = (yaml.YAMLError, *UNREADABLE)


def load(
    model: type[T],
    path: Path | None,
    overrides: Sequence[str],
    flags: Mapping[str, object] = types.MappingProxyType({}),
    *,
    example: str = "",
) -> T:
    """The settings from a YAML file, then `key=value` overrides (dotted keys, YAML values), then flags that are not None.

    example: an override to show, as in `plan.samples=4`. Raises UserError with every problem at once, each with the file or `--set`
    where that gave the value.
    """
    problems = Problems()
    given = {name: value for name, value in flags.items() if value is not None}
    settings: dict[str, object] | None = None
    with problems.collect():
        settings = _read(path, example) if path else {}
    for override in overrides:
        with problems.collect():
            _put({} if settings is None else settings, override, example)
    if settings is not None:
        try:
            found = model.model_validate({**settings, **given})
        except ValidationError as error:
            problems.found += problems_of(error, model, _places(path, overrides, given))
        else:
            problems.check()
            return found
    problems.check()
    raise AssertionError("settings that were not read are a problem")


def _places(path: Path | None, overrides: Sequence[str], flags: Mapping[str, object]) -> Callable[[Location], str]:
    """What gave the value that stands at a location."""
    keys = [override.partition("=")[0].strip().split(".") for override in overrides]

    def place(location: Location) -> str:
        names = [str(part) for part in location]
        if names and names[0] in flags:
            return ""
        if any(names[: len(key)] == key for key in keys):
            return "--set"
        return str(path) if path else "--set" if overrides else "settings"

    return place


def _read(path: Path, example: str) -> dict[str, object]:
    try:
        settings = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "--config takes a YAML file of settings"
        raise UserError(Problem(str(path), got=f"cannot be read ({error.strerror})", fix=fix)) from None
    except _BAD_YAML as error:
        raise UserError(Problem(str(path), got=f"is not YAML ({' '.join(str(error).split())})")) from None
    if found := excess(settings):
        raise UserError(Problem(str(path), got=found))
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        shown = f", as in `{_override_as_yaml(example)}`" if example else " of settings"
        raise UserError(Problem(str(path), got=f"got a {type(settings).__name__}", allowed=f"a mapping{shown}"))
    return settings


def _override_as_yaml(example: str) -> str:
    settings: dict[str, object] = {}
    _put(settings, example, "")
    return as_yaml(settings).removeprefix("{").removesuffix("}")


def _put(settings: dict[str, object], override: str, example: str) -> None:
    """Set one `key=value`, making the groups that its dotted key names. Raises UserError."""
    place = f"--set {override}"
    key, equals, text = override.partition("=")
    if not equals or not key:
        shown = f", as in --set {example}" if example else ""
        raise UserError(Problem(place, allowed=f"key=value{shown}"))
    try:
        value = yaml.safe_load(text)
    except _BAD_YAML:
        raise UserError(Problem(place, got="the value is not YAML")) from None
    if found := excess(value):
        raise UserError(Problem(place, got=found))
    *groups, last = key.strip().split(".")
    for group in groups:
        inner = settings.setdefault(group, {})
        if not isinstance(inner, dict):
            raise UserError(Problem(place, got=f"{group} is a value, not a group of settings"))
        settings = inner
    settings[last] = value


def over_defaults(kind: type[BaseModel], given: object) -> object:
    """What is given for a model, with groups of settings laid over the model's own defaults: to name one setting of a group leaves
    the others as they are, also where the model's default of the group is another than the group's own.
    """
    if not isinstance(given, dict):
        return given
    defaults = {name: kind.model_fields[name].default for name in given if name in kind.model_fields}
    return {
        name: {**defaults[name].model_dump(), **value}
        if isinstance(value, dict) and isinstance(defaults.get(name), BaseModel)
        else value
        for name, value in given.items()
    }
