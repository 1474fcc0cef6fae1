"""Whether a value fits a JSON schema that somebody else wrote: within limits, fetching nothing, raising nothing.

A schema says by `$schema` which draft it is of; without, it is of 2020-12. References lead to places in the schema itself, never to
the network. Patterns are searched with a time limit. Of formats, those below are held to; others say nothing, as the standard has
it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from datetime import time as clock
from fractions import Fraction
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import regex

MAX_CHARACTERS = 100_000
"""Of a schema, or of a value, as JSON."""
MAX_DEPTH = 64
"""Levels of objects and lists in either."""
MAX_STEPS = 20_000
"""Keywords that are looked at for one value."""
STEPS_OF_SCHEMA = 10 * MAX_STEPS
"""Keywords that are looked at to see whether a schema is one."""
MAX_SECONDS = 2.0
"""For one value, or one schema."""
PATTERN_SECONDS = 1.0
"""For one search of one pattern."""

_Errors = Iterator[Any]
_Keyword = Callable[[Any, Any, Any, Any], _Errors | None]


class _LimitError(Exception):
    """The schema asks for more than it is given."""


def misfit(schema: object, value: object) -> str | None:
    """Why a value does not fit, or cannot be held against the schema; None where it fits."""
    if found := _too_big(schema, "the schema") or _too_big(value, "the value"):
        return found
    compiled = _compiled(json.dumps(schema, sort_keys=True))
    if isinstance(compiled, str):
        return compiled
    try:
        error = next(compiled(value), None)
    except _LimitError as limit:
        return f"the schema {limit}"
    except RecursionError:
        return "the schema refers to itself without end"
    except Exception as error:  # a schema that its own draft allows can still trip what reads it, in ways nobody lists
        return f"the schema cannot be applied ({_brief(error)})"
    return None if error is None else f"{_place(error)}{str(error.message)[:200]}"


def _too_big(value: object, name: str) -> str | None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return f"{name} has more than {MAX_DEPTH} levels"
        level = [part for one in level for part in _parts(one)]
    try:
        size = len(json.dumps(value))
    except (TypeError, ValueError) as error:
        return f"{name} is no JSON ({_brief(error)})"
    return f"{name} is longer than {MAX_CHARACTERS:,} characters" if size > MAX_CHARACTERS else None


def _parts(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [*value.values()]
    return [*value] if isinstance(value, list | tuple) else []


@lru_cache(maxsize=256)
def _compiled(text: str) -> Callable[[object], _Errors] | str:
    """What yields a value's errors, or what is wrong with the schema."""
    import jsonschema  # here, since few runs need it and every command would wait for it
    import jsonschema_specifications

    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        return "the schema is neither an object nor true or false"
    if "unevaluated" in text and any(name in text for name in ("Ref", "$ref", "patternProperties")):
        return "the schema has unevaluated members beside references or patterns, which is not checked"
    kind: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    meta = _limited(jsonschema.validators.validator_for(kind.META_SCHEMA, default=kind))
    _BUDGET.begin(STEPS_OF_SCHEMA)
    try:
        errors_of_schema = meta(kind.META_SCHEMA, registry=jsonschema_specifications.REGISTRY).iter_errors(schema)
        if error := next(errors_of_schema, None):
            return f"the schema is none: {_place(error)}{str(error.message)[:200]}"
    except _LimitError as limit:
        return f"the schema {limit}"
    except Exception as error:  # as in `misfit`
        return f"the schema is none ({_brief(error)})"
    validator = _limited(kind)(schema, registry=jsonschema_specifications.REGISTRY, format_checker=_formats())

    def errors(value: object) -> _Errors:
        _BUDGET.begin()
        yield from validator.iter_errors(value)

    return errors


class _Budget(threading.local):
    """Steps and seconds of the processor that are left for what a thread looks at, one thing at a time."""

    def begin(self, steps: int = MAX_STEPS) -> None:
        self._most = self._steps = steps
        self._until = time.thread_time() + MAX_SECONDS

    def spend(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise _LimitError(f"takes more than {self._most:,} steps")
        if time.thread_time() > self._until:
            raise _LimitError(f"takes more than {MAX_SECONDS:g} s")


_BUDGET = _Budget()


@cache
def _limited(kind: type[Any]) -> type[Any]:
    """A draft's validator with a budget, patterns under a time limit, and no comparison of everything with everything."""
    import jsonschema

    own: dict[str, _Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "multipleOf": _multiple_of,
    }
    keywords = {name: _counted(own.get(name, check)) for name, check in kind.VALIDATORS.items()}
    extend: Any = jsonschema.validators.extend
    limited: type[Any] = extend(kind, keywords)
    return limited


def _counted(keyword: _Keyword) -> _Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
        _BUDGET.spend()
        yield from keyword(validator, value, instance, schema) or ()

    return counted


def _error(message: str) -> Any:
    import jsonschema

    return jsonschema.ValidationError(message)


def _search(pattern: str, text: str) -> bool:
    try:
        return bool(regex.search(pattern, text, timeout=PATTERN_SECONDS))
    except TimeoutError:
        raise _LimitError(f"has a pattern that takes more than {PATTERN_SECONDS:g} s: {pattern[:80]!r}") from None
    except regex.error as error:
        raise _LimitError(f"has a pattern that is none: {pattern[:80]!r} ({error})") from None


def _pattern(_: Any, pattern: Any, instance: Any, __: Any) -> _Errors:
    if isinstance(instance, str) and not _search(pattern, instance):
        yield _error(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> _Errors:
    if isinstance(instance, dict):
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if _search(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> _Errors:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in known or any(_search(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield _error(f"{name!r} is not among the properties ({', '.join(map(repr, known))[:100]})")
        elif isinstance(allowed, dict):
            yield from validator.descend(value, allowed, path=name)


def _unique_items(_: Any, unique: Any, instance: Any, __: Any) -> _Errors:
    if unique and isinstance(instance, list) and len({*map(_canonical, instance)}) < len(instance):
        yield _error("has items that are the same")


def _canonical(value: object) -> str:
    """The same text for values that JSON schema calls equal: 1 and 1.0, but not 1 and true."""

    def plain(one: object) -> object:
        if isinstance(one, float) and math.isfinite(one) and one == int(one):
            return int(one)
        if isinstance(one, dict):
            return {name: plain(part) for name, part in one.items()}
        return [plain(part) for part in one] if isinstance(one, list) else one

    return json.dumps(plain(value), sort_keys=True)


def _multiple_of(_: Any, divisor: Any, instance: Any, __: Any) -> _Errors:
    number = isinstance(instance, int | float) and not isinstance(instance, bool)
    if number and Fraction(str(instance)) % Fraction(str(divisor)):
        yield _error(f"{instance!r} is not a multiple of {divisor!r}")


@cache
def _formats() -> Any:
    """The formats that are held to, each by a function that raises ValueError for a text that is not of it."""
    import jsonschema

    checker = jsonschema.FormatChecker(formats=())
    for name, read in (
        ("date", _date), ("date-time", _moment), ("time", _clock), ("email", _email),
        ("ipv4", IPv4Address), ("ipv6", IPv6Address), ("uuid", UUID), ("uri", _uri),
    ):  # fmt: skip
        checker.checks(name, raises=ValueError)(_reads(read))
    return checker


def _reads(read: Callable[[str], object]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or read(value) is not None


def _held(fits: object, value: str) -> str:
    if not fits:
        raise ValueError(value)
    return value


def _date(value: str) -> object:
    return date.fromisoformat(_held(len(value) == len("2000-01-31"), value))


def _moment(value: str) -> object:
    return _held(datetime.fromisoformat(_held("T" in value.upper(), value)).tzinfo, value)


def _clock(value: str) -> object:
    return clock.fromisoformat(_held(regex.match(r"\d\d:\d\d:\d\d", value), value))


def _email(value: str) -> object:
    return _held(regex.fullmatch(r"[^@\s]{1,64}@[^@\s]{1,255}", value), value)


def _uri(value: str) -> object:
    return _held(regex.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", value), value)


def _place(error: Any) -> str:
    path = ".".join(str(part) for part in error.absolute_path)[:100]
    return f"{path}: " if path else ""


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
