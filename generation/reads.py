"""Settings that others turn off: a field says where it is read, and a value that nothing would read is an error.

Whoever gave one believes in an effect that it has not. A value equal to the default counts as not given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel

from constitution.errors import invalid, shown

LEAVE = "leave it out"


@dataclass(frozen=True, slots=True)
class ReadIf:
    """Goes into a field's `Annotated`."""

    where: str
    """The condition in words, after "is read only where"."""
    holds: Callable[[Any, Any], bool]
    """(the settings that have the field, the outermost ones) -> whether anything reads it."""


class Unread(NamedTuple):
    """A setting that was given and that nothing reads."""

    key: str
    got: str
    fix: str = LEAVE


def unread(settings: BaseModel, *, apart: tuple[type[BaseModel], ...] = ()) -> Iterator[Unread]:
    """Every setting that nothing reads under the others, in groups of settings too, but for groups of the types apart."""
    yield from _unread(settings, settings, "", apart)


def check_read(settings: BaseModel, *, apart: tuple[type[BaseModel], ...] = ()) -> None:
    """For validators. Raises a PydanticCustomError for the first such setting."""
    for one in unread(settings, apart=apart):
        raise invalid(one.got, fix=one.fix, key=one.key)


def _unread(settings: BaseModel, whole: BaseModel, place: str, apart: tuple[type[BaseModel], ...]) -> Iterator[Unread]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        unmet = [one.where for one in field.metadata if isinstance(one, ReadIf) and not one.holds(settings, whole)]
        if not unmet:
            for key, group in _groups(value):
                if not isinstance(group, apart):
                    yield from _unread(group, whole, f"{place}{name}.{key}", apart)
        elif value != field.get_default(call_default_factory=True, validated_data={}):
            got = value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value
            yield Unread(f"{place}{name}", f"got {shown(got)}, which is read only where {unmet[0]}")


def _groups(value: object) -> Iterator[tuple[str, BaseModel]]:
    """The groups of settings in a value, each with what its keys begin with."""
    if isinstance(value, BaseModel):
        yield "", value
    elif isinstance(value, Mapping):
        yield from ((f"{key}.", one) for key, one in value.items() if isinstance(one, BaseModel))
    elif isinstance(value, tuple):
        yield from ((f"{getattr(one, 'name', i)}.", one) for i, one in enumerate(value) if isinstance(one, BaseModel))
