"""YAML with positions: data, and the line each key stands on. Hostile files get a message, not a crash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 20

Where = tuple[str | int, ...]
"""The keys that lead to a value, from the top."""


class SourceError(ValueError):
    """The file cannot be read as plain YAML; the message names file, line and fix."""


@dataclass(frozen=True, slots=True)
class Source:
    """A YAML file, read."""

    path: Path
    data: object
    lines: dict[Where, int]
    """First line of each value, from 1."""

    def place(self, where: Where) -> str:
        """`file:line` of a value, or of the nearest one around it."""
        while where not in self.lines and where:
            where = where[:-1]
        return f"{self.path}:{self.lines.get(where, 1)}"


def read(path: Path) -> Source:
    """Read a YAML file. Raises SourceError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}:1: cannot be read ({error.strerror}); check the path and its permissions") from None
    if len(raw) > MAX_BYTES:
        raise SourceError(f"{path}:1: got {len(raw):,} bytes; allowed: {MAX_BYTES:,}; split it with `extends:`")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SourceError(f"{path}:{line}: is not UTF-8; save it as UTF-8") from None
    try:
        _check_events(text, path)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SourceError(
            f"{path}:{line}: is not YAML ({error.problem or error.context}); check indentation, quotes and colons"
        ) from None
    except yaml.YAMLError as error:
        raise SourceError(f"{path}:1: is not YAML ({' '.join(str(error).split())})") from None
    lines: dict[Where, int] = {}
    data = None if node is None else _plain(node, (), lines, path)
    return Source(path, data, lines)


def _check_events(text: str, path: Path) -> None:
    """Refuse aliases and deep nesting on the flat event stream, before anything recursive sees them."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if anchor := getattr(event, "anchor", None):
            raise SourceError(f"{path}:{line}: got an anchor or alias {anchor!r}; allowed: plain values; write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise SourceError(
                    f"{path}:{line}: is nested more than {MAX_DEPTH} levels deep; a constitution needs six"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise SourceError(f"{path}:{line}: got a second YAML document; allowed: one; delete the `---`")


def _plain(node: yaml.Node, where: Where, lines: dict[Where, int], path: Path) -> object:
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*where, i), lines, path) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where, lines, path)
    try:
        value: object = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        place = f"{path}:{node.start_mark.line + 1}"
        raise SourceError(f"{place}: got {node.value!r}; allowed: plain strings, numbers and lists ({error})") from None
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" or c == "\0" for c in value):
        raise SourceError(f"{path}:{node.start_mark.line + 1}: has a NUL or a lone surrogate; remove it")
    return value if isinstance(value, str | int | float | bool | None) else str(node.value)


def _mapping(node: yaml.MappingNode, where: Where, lines: dict[Where, int], path: Path) -> dict[str, object]:
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SourceError(f"{path}:{line}: a key is a list or a mapping; allowed: words")
        key = str(key_node.value)
        if key in result:
            raise SourceError(
                f"{path}:{line}: key {key!r} stands twice (first on line {lines[(*where, key)]}); keep one"
            )
        lines[(*where, key)] = line
        result[key] = _plain(value_node, (*where, key), lines, path)
    return result
