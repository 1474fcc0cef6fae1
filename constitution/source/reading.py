"""YAML with positions: data, and the line each key stands on. Hostile files get a message, not a crash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from constitution.errors import Location, Problem, UserError, problems_of

M = TypeVar("M", bound=BaseModel)

QUICK: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's reader where PyYAML was built with it, ten times as fast. What it refuses is read by PyYAML's own, which says why."""
MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_VALUES = 200_000
MAX_BITS = 1024
"""Of a whole number, which messages must be able to print."""
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises beside its own errors for values that are none, as `!!bool maybe` and 2024-99-99."""


@dataclass(frozen=True, slots=True)
class Source:
    """A YAML file, read."""

    path: Path
    data: object
    lines: dict[Location, int]
    """First line of each value, from 1."""

    def line(self, location: Location) -> int:
        """Line of a value, or of the nearest one around it."""
        while location not in self.lines and location:
            location = location[:-1]
        return self.lines.get(location, 1)

    def place(self, location: Location) -> str:
        """`file:line` of a value, or of the nearest one around it."""
        return f"{self.path}:{self.line(location)}"


def read_as(model: type[M], path: Path) -> M:
    """Read a YAML file as a model. Raises UserError with everything that is wrong with it, each at its line."""
    source = read(path)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise UserError(problems_of(error, model, source.place)) from None


def read(path: Path, text: str | None = None) -> Source:
    """Read a YAML file of plain values. text: what it would hold, instead of reading. Raises UserError with file, line and fix."""
    try:
        raw = path.read_bytes() if text is None else text.encode("utf-8", "surrogatepass")
    except OSError as error:
        raise _wrong(path, 1, f"cannot be read ({error.strerror})", fix="check the path and its permissions") from None
    if len(raw) > MAX_BYTES:
        raise _wrong(path, 1, f"got {len(raw):,} bytes", f"{MAX_BYTES:,}", "split it with `extends:`")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _wrong(path, line, "is not UTF-8", fix="save it as UTF-8") from None
    try:
        node = _node(text, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        got = f"is not YAML ({error.problem or error.context})"
        raise _wrong(path, mark.line + 1 if mark else 1, got, fix="check indentation, quotes and colons") from None
    except yaml.YAMLError as error:
        raise _wrong(path, 1, f"is not YAML ({' '.join(str(error).split())})") from None
    lines: dict[Location, int] = {}
    data = None if node is None else _plain(node, (), lines, path)
    return Source(path, data, lines)


def excess(data: object) -> str:
    """What is too large in a value that was read: a number, or all that aliases make of it; empty where nothing is."""
    waiting, seen = [data], 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            return f"has more than {MAX_VALUES:,} values"
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            return f"got a number of more than {MAX_BITS} bits"
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value
    return ""


def parse(text: str) -> object:
    """What `yaml.safe_load` gives, and raises."""
    try:
        return yaml.load(text, QUICK)
    except (yaml.YAMLError, UnicodeError):
        return yaml.safe_load(text)


def _node(text: str, path: Path) -> yaml.Node | None:
    try:
        _check_events(text, path, QUICK)
        node: yaml.Node | None = yaml.compose(text, Loader=QUICK)
    except yaml.YAMLError:
        _check_events(text, path, yaml.SafeLoader)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def _wrong(path: Path, line: int, got: str, allowed: str = "", fix: str = "") -> UserError:
    return UserError(Problem(f"{path}:{line}", got=got, allowed=allowed, fix=fix))


def _check_events(text: str, path: Path, loader: Any) -> None:
    """Refuse aliases and deep nesting on the flat event stream, before anything recursive sees them."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if anchor := getattr(event, "anchor", None):
            raise _wrong(path, line, f"got an anchor or alias {anchor!r}", "plain values", "write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _wrong(path, line, f"is nested more than {MAX_DEPTH} levels deep", fix="a constitution needs six")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _wrong(path, line, "got a second YAML document", "one", "delete the `---`")


def _plain(node: yaml.Node, location: Location, lines: dict[Location, int], path: Path) -> object:
    line = node.start_mark.line + 1
    lines.setdefault(location, line)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*location, i), lines, path) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, location, lines, path)
    try:
        value: object = yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, *UNREADABLE) as error:
        got = f"got {node.value[:80]!r} ({error})"
        raise _wrong(path, line, got, "plain strings, numbers and lists") from None
    if found := excess(value):
        raise _wrong(path, line, found)
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" or c == "\0" for c in value):
        raise _wrong(path, line, "has a NUL or a lone surrogate", fix="remove it")
    return value if isinstance(value, str | int | float | bool | None) else str(node.value)


def _mapping(node: yaml.MappingNode, location: Location, lines: dict[Location, int], path: Path) -> dict[str, object]:
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise _wrong(path, line, "a key is a list or a mapping", "words")
        key = str(key_node.value)
        if key in result:
            first = lines[(*location, key)]
            raise _wrong(path, line, f"key {key!r} occurs twice (first on line {first})", fix="keep one")
        lines[(*location, key)] = line
        result[key] = _plain(value_node, (*location, key), lines, path)
    return result
