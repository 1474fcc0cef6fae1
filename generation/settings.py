"""Reads settings: a YAML file, then `--set key=value`, then flags, into a model that is checked before anything heavy loads."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from constitution.principles import suggest
from constitution.records import Strict

T = TypeVar("T", bound=Strict)
_BAD_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""ValueError: bytes that are not UTF-8, and dates like 2024-99-99."""


class ConfigError(ValueError):
    """The settings are wrong; the message lists every problem with its key, its value and what is allowed."""


def explain(error: ValidationError, place: str, kind: type[Strict]) -> str:
    """One line for each problem of the settings that `place` gave for `kind`."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = siblings(kind, problem["loc"])
            lines.append(
                f"{place}: {key}: unknown key{suggest(str(problem['loc'][-1]), allowed)}; allowed: {', '.join(allowed)}"
            )
        elif problem["type"] == "missing":
            lines.append(f"{place}: {key}: is missing")
        else:
            got = "" if problem["type"] == "value_error" else f" (got {problem['input']!r:.80})"
            lines.append(f"{place}: {key + ': ' if key else ''}{problem['msg'].removeprefix('Value error, ')}{got}")
    return "\n".join(lines)


def load(
    kind: type[T],
    path: Path | None,
    overrides: Sequence[str],
    flags: Mapping[str, object] = types.MappingProxyType({}),
    *,
    example: str = "",
    explain: Callable[[ValidationError, str, type[Strict]], str] = explain,
) -> T:
    """The settings from a YAML file, then `key=value` overrides (dotted keys, YAML values), then flags that are not None.

    example: an override to show, as in `plan.samples=4`. explain: what puts the problems into words.
    Raises ConfigError with every problem at once.
    """
    problems: list[str] = []
    settings: dict[str, object] | None = {}
    try:
        settings = _read(path, example) if path else {}
    except ConfigError as error:
        problems.append(str(error))
        settings = None
    for override in overrides:
        try:
            _put({} if settings is None else settings, override, example)
        except ConfigError as error:
            problems.append(str(error))
    if settings is not None:
        settings.update({name: value for name, value in flags.items() if value is not None})
        try:
            found = kind.model_validate(settings)
            if not problems:
                return found
        except ValidationError as error:
            place = str(path) if path else "--set" if overrides else "settings"
            problems.append(explain(error, place, kind))
    raise ConfigError("\n".join(problems))


def siblings(kind: type[Strict], location: Sequence[int | str]) -> list[str]:
    """Names that are allowed where pydantic met an unknown key; none where no model stands."""
    kinds: list[Any] = [kind]
    for part in location[:-1]:
        kinds = [inner for outer in kinds for inner in _inside(outer, part)]
    return sorted({name for inner in kinds for model in _models(inner) for name in model.model_fields})


def _models(kind: Any) -> Iterator[type[Strict]]:
    """The models among the types that a value may have."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _models(one)
    elif origin is Annotated:
        yield from _models(get_args(kind)[0])
    elif isinstance(kind, type) and origin is None and issubclass(kind, Strict):
        yield kind


def _inside(kind: Any, part: int | str) -> list[Any]:
    """Types of what stands at a field, index or key of a value; a union's member named by its class or its tag stays itself."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _inside(inner[0], part)
    if origin in (Union, types.UnionType):
        named = [model for model in _models(kind) if part == model.__name__ or part in _tags(model)]
        return named or [found for one in inner for found in _inside(one, part)]
    if origin is tuple and isinstance(part, int) and inner[-1] is not Ellipsis:
        return [inner[part]] if part < len(inner) else []
    if isinstance(origin, type) and inner:
        # a mapping's values or a sequence's items
        return [inner[1] if issubclass(origin, Mapping) else inner[0]]
    return [model.model_fields[part].annotation for model in _models(kind) if part in model.model_fields]


def _tags(model: type[Strict]) -> set[object]:
    """Values that tell a union's members apart."""
    kinds = [field.annotation for field in model.model_fields.values()]
    return {tag for kind in kinds if get_origin(kind) is Literal for tag in get_args(kind)}


def _read(path: Path, example: str) -> dict[str, object]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); --config takes a YAML file of settings"
        ) from None
    except _BAD_YAML as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        shown = f", as in `{_as_yaml(example)}`" if example else " of settings"
        raise ConfigError(f"{path}: got a {type(settings).__name__}; allowed is a mapping{shown}")
    return settings


def _as_yaml(example: str) -> str:
    settings: dict[str, object] = {}
    _put(settings, example, "")
    return yaml.safe_dump(settings, default_flow_style=True).strip().removeprefix("{").removesuffix("}")


def _put(settings: dict[str, object], override: str, example: str) -> None:
    """Set one `key=value`, making the groups that its dotted key names."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        shown = f", as in --set {example}" if example else ""
        raise ConfigError(f"--set {override}: allowed is key=value{shown}")
    try:
        value = yaml.safe_load(text)
    except _BAD_YAML:
        raise ConfigError(f"--set {override}: the value is not YAML") from None
    *groups, last = key.strip().split(".")
    for group in groups:
        inner = settings.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {group} is a value, not a group of settings")
        settings = inner
    settings[last] = value
