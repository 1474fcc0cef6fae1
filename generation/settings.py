"""Reads settings: a YAML file, then `--set key=value`, then flags, into a model that is checked before anything heavy loads.

The same models say what there is to set: `--settings` prints every key with its default and the string under its field.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from constitution.errors import Location, Problem, Problems, UserError, problems_of
from constitution.records import Strict

T = TypeVar("T", bound=Strict)
_BAD_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""ValueError: bytes that are not UTF-8, and dates like 2024-99-99."""


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


class Setting(NamedTuple):
    """One thing that can be set."""

    key: str
    """Dotted name, as `--set` takes it."""
    default: str
    """As YAML has it; `required` where there is none, empty for a group of settings."""
    meaning: str
    """The string under its field."""


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Every setting of a model, and of the groups inside it, in the order of its fields."""
    for name, field in model.model_fields.items():
        groups = _models_in(field.annotation)
        default = "required"
        if not field.is_required():
            value = field.get_default(call_default_factory=True, validated_data={})
            default = "" if isinstance(value, BaseModel) else _as_yaml(value)
        yield Setting(f"{prefix}{name}", default, " ".join((field.description or "").split()))
        if len(groups) == 1:
            yield from settings_of(groups[0], f"{prefix}{name}.")


def print_settings(model: type[BaseModel]) -> None:
    """What `--settings` prints: each key with its default, and its meaning below."""
    for one in settings_of(model):
        print(f"{one.key}: {one.default}".rstrip())
        if one.meaning:
            print(f"    {one.meaning}")


def _models_in(kind: Any) -> list[type[BaseModel]]:
    """The models that a field's type holds itself, not those in its lists and mappings."""
    origin = get_origin(kind)
    if isinstance(kind, type) and origin is None:
        return [kind] if issubclass(kind, BaseModel) else []
    if isinstance(origin, type) and issubclass(origin, list | tuple | dict | set | frozenset):
        return []
    return [model for inner in get_args(kind) for model in _models_in(inner)]


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
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "--config takes a YAML file of settings"
        raise UserError(Problem(str(path), got=f"cannot be read ({error.strerror})", fix=fix)) from None
    except _BAD_YAML as error:
        raise UserError(Problem(str(path), got=f"is not YAML ({' '.join(str(error).split())})")) from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        shown = f", as in `{_override_as_yaml(example)}`" if example else " of settings"
        raise UserError(Problem(str(path), got=f"got a {type(settings).__name__}", allowed=f"a mapping{shown}"))
    return settings


def _as_yaml(value: object) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=1 << 20, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _override_as_yaml(example: str) -> str:
    settings: dict[str, object] = {}
    _put(settings, example, "")
    return _as_yaml(settings).removeprefix("{").removesuffix("}")


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
    *groups, last = key.strip().split(".")
    for group in groups:
        inner = settings.setdefault(group, {})
        if not isinstance(inner, dict):
            raise UserError(Problem(place, got=f"{group} is a value, not a group of settings"))
        settings = inner
    settings[last] = value
