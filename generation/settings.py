"""Reads settings: a YAML file, then `--set key=value`, then flags, into a model that is checked before anything heavy loads."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from constitution.errors import siblings, suggest
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
        raise ConfigError(f"{path}: got a {type(settings).__name__}; allowed: a mapping{shown}")
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
        raise ConfigError(f"--set {override}: allowed: key=value{shown}")
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
