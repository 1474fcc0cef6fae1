"""Command lines made from settings models: a field is an option, the string under it is the option's help."""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from constitution.errors import UserError, problems_of

T = TypeVar("T", bound="Options")


class Option(NamedTuple):
    """How a field stands on the command line; goes into its `Annotated`."""

    metavar: str = ""
    """What the help shows in place of the value, as in FILE."""
    flag: str = ""
    """Where it is not the field's name with dashes."""
    positional: bool = False


class Options(BaseModel):
    """Base of the settings of a command: immutable, and an unknown name is an error.

    A bool that is False is a switch, a tuple an option that may be given several times; a Literal has choices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def flag(model: type[BaseModel], name: str) -> str:
    """A field as the command line names it."""
    option = _option(model.model_fields[name])
    return option.metavar if option.positional else option.flag or f"--{name.replace('_', '-')}"


def add_options(parser: argparse.ArgumentParser, model: type[Options]) -> None:
    """Add an option for each field. Values stay texts; the model reads them, and tells all that is wrong at once."""
    for name, field in model.model_fields.items():
        option = _option(field)
        settings: dict[str, Any] = {"metavar": option.metavar or None, "help": _help(field), "default": None}
        if option.positional:
            parser.add_argument(name, **settings)
            continue
        kinds = [*_kinds(field.annotation)]
        choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        if bool in kinds:
            settings = {"action": "store_true", "help": settings["help"], "default": None}
        elif choices:
            settings["choices"] = choices
        elif any(get_origin(kind) is tuple for kind in kinds):
            settings["action"] = "append"
        parser.add_argument(flag(model, name), dest=name, required=field.is_required(), **settings)


def read_options(found: argparse.Namespace, model: type[T]) -> T:
    """The settings that a command line names. Raises UserError with every problem, each at its option."""
    given = {name: value for name in model.model_fields if (value := getattr(found, name)) is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = []
        for problem in problems_of(error, model):
            name, _, rest = problem.key.partition(".")
            known = name in model.model_fields
            problems.append(problem._replace(place=flag(model, name), key=rest) if known else problem)
        raise UserError(problems) from None


def parse(model: type[T], arguments: Sequence[str], prog: str = "") -> T:
    """The settings of a command that stands alone. Raises UserError, and SystemExit as argparse does."""
    parser = argparse.ArgumentParser(prog=prog or None)
    add_options(parser, model)
    return read_options(parser.parse_args(arguments), model)


def arguments(settings: Options) -> list[str]:
    """The command line that `parse` reads as these settings: an option for each field that was set."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name not in settings.model_fields_set or value is None or value is False:
            continue
        if _option(type(settings).model_fields[name]).positional:
            found.append(str(value))
        elif value is True:
            found.append(flag(type(settings), name))
        else:
            each = value if isinstance(value, tuple) else (value,)
            found += [part for one in each for part in (flag(type(settings), name), str(one))]
    return found


def _option(field: FieldInfo) -> Option:
    return next((one for one in field.metadata if isinstance(one, Option)), Option())


def _help(field: FieldInfo) -> str:
    """The field's documentation as help, with the default where there is one to tell."""
    text = " ".join((field.description or "").split()).removesuffix(".")
    default = field.default
    silent = field.is_required() or default is None or isinstance(default, bool) or default in ("", ())
    return (text if silent else f"{text} (default: {default})").replace("%", "%%")


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a value may have, out of unions and Annotated."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _kinds(inner)
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    else:
        yield annotation
