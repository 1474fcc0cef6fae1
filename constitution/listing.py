"""Lists what there is to set, from the models that read it: each setting with its default and the string under its field."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel

from constitution.options import Options, flag

OPTIONS = "Options:"
FILE = "Settings, for --config FILE and --set KEY=VALUE:"


class Setting(NamedTuple):
    """One thing that can be set."""

    key: str
    """An option of the command line, or the dotted name that `--set` takes."""
    default: str
    """As YAML has it; `required` where there is none, empty for a group of settings."""
    meaning: str
    """The string under its field."""


def settings_in(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Every setting of a model, and of the groups inside it, in the order of its fields."""
    for name, field in model.model_fields.items():
        groups = _models_in(field.annotation)
        default = "required"
        if not field.is_required():
            value = field.get_default(call_default_factory=True, validated_data={})
            default = "" if isinstance(value, BaseModel) else as_yaml(value)
        key = flag(model, name) if issubclass(model, Options) else f"{prefix}{name}"
        yield Setting(key, default, field.description or "")
        if len(groups) == 1:
            yield from settings_in(groups[0], f"{prefix}{name}.")


def print_settings(*models: type[BaseModel]) -> None:
    """Print each key with its default, and its meaning below. Options stand under a heading of their own."""
    for model in models:
        if len(models) > 1:
            print(OPTIONS if issubclass(model, Options) else f"\n{FILE}")
        for one in settings_in(model):
            print(f"{one.key}: {one.default}".rstrip())
            if one.meaning:
                print(f"    {' '.join(one.meaning.split())}")


def add_listing(
    parser: argparse.ArgumentParser,
    *models: type[BaseModel] | str,
    switched: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add `--settings`, which prints every setting of the models and ends the program with exit code 0.

    models: those of the command's options and of its settings file; one that is named, as `generation.config.RunConfig`, is
    imported when it is printed, so that help does not wait for it. switched: name of a switch -> the model that stands for all
    others where it was given before.
    """
    after = "".join(f"; after --{name}, those it adds too" for name in switched)
    text = f"print every setting with its default and meaning, and stop{after}"
    parser.add_argument("--settings", nargs=0, action=_Print, const=(models, switched), help=text)


def as_yaml(value: object) -> str:
    """A value on one line of YAML."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=1 << 20, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def model_named(name: str) -> type[BaseModel]:
    """The model with a dotted name."""
    module, _, model = name.rpartition(".")
    found: type[BaseModel] = getattr(import_module(module), model)
    return found


class _Print(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, given: argparse.Namespace, *_: object) -> None:
        models, switched = self.const or ((), {})
        models = [model for name, model in switched.items() if getattr(given, name, False)] or models
        print_settings(*(model_named(model) if isinstance(model, str) else model for model in models))
        parser.exit()


def _models_in(kind: Any) -> list[type[BaseModel]]:
    """The models that a field's type holds itself, not those in its lists and mappings."""
    origin = get_origin(kind)
    if isinstance(kind, type) and origin is None:
        return [kind] if issubclass(kind, BaseModel) else []
    if isinstance(origin, type) and issubclass(origin, list | tuple | dict | set | frozenset):
        return []
    return [model for inner in get_args(kind) for model in _models_in(inner)]


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)
