"""Change one value of a constitution's YAML text, and leave comments, order and layout of the rest as they are."""

from __future__ import annotations

import yaml

from constitution.errors import Problem, UserError

Value = str | float | bool


def set_value(text: str, keys: tuple[str, ...], value: Value) -> str:
    """The text with a value in place of another, or added.

    keys: (`objectives`, name), or (`principles`, id, field). Raises UserError where there is no such place, or no YAML.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(Problem("", got=f"is no YAML ({' '.join(str(error).split())[:200]})")) from None
    for key in keys[:-1]:
        node = _inside(node, key)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _missing(keys)
    new = _scalar(value)
    for name, old in node.value:
        if name.value == keys[-1]:
            end = old.end_mark.index
            if isinstance(old, yaml.ScalarNode) and old.style in ("|", ">"):  # such a text ends with the line's end
                new += "\n"
            return text[: old.start_mark.index] + new + text[end:]
    if node.flow_style:
        at = node.value[-1][1].end_mark.index
        return f"{text[:at]}, {keys[-1]}: {new}{text[at:]}"
    first = node.value[0][0].start_mark
    at = first.index
    return f"{text[:at]}{keys[-1]}: {new}\n{' ' * first.column}{text[at:]}"


def _inside(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            name = _inside(item, "id")
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                found: yaml.Node = item
                return found
    return None


def _scalar(value: Value) -> str:
    """On one line, whatever it holds."""
    text = yaml.safe_dump(
        value, default_style='"' if isinstance(value, str) else None, width=1_000_000, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _missing(keys: tuple[str, ...]) -> UserError:
    got = "is not in this file"
    return UserError(
        Problem("", ".".join(keys[:-1]), got, fix="edit the file that it is taken over from, or write it here")
    )
