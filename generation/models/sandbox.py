"""Jinja for chat templates that strangers wrote: what one rendering may take of time and memory is limited.

Jinja's own sandbox keeps a template from Python's insides, and not from `'a' * 10**10` or from loops inside loops. Here every
operation that makes a text or a list pays for its size before it is done, every step of a loop and every call pays one, and the
time is looked at on the way. What a template cannot pay for is refused, whatever the conversation that makes it try.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, _PassArg
from jinja2.visitor import NodeTransformer

WORK = 20_000_000
"""Characters, list items, steps and calls that any rendering may take."""
WORK_A_CHARACTER = 200
"""More of it for each character of the conversation."""
SECONDS = 2.0
"""Most time of the processor that a rendering may take."""
_NODES = 1_000_000
"""Most values inside one value, counted as often as they are reached."""
_LARGEST = 100_000
"""Largest number that a filter or a method is given, such as a width."""
_BITS = 4096
"""Longest whole number."""
_LAZY = {"map", "select", "selectattr", "reject", "rejectattr"}
"""Filters that look at their sequence only when it is looped over."""
_REMOVED = {"filters": ("urlize", "wordwrap", "pprint", "random", "striptags", "xmlattr"), "globals": ("lipsum",)}
"""Not repeatable, or slower than in proportion to what they are given; no chat template needs them."""
_STRETCHED = {"indent", "center", "tojson", "batch", "slice", "expandtabs", "ljust", "rjust", "zfill"}
"""What makes a text longer by a number."""
_PLAIN = """
capitalize casefold count endswith find format index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle
isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines
startswith strip swapcase title upper
"""
_TEXT_METHODS = _STRETCHED | {*_PLAIN.split()}
_NUMBER = re.compile(r"\d+")


class LimitError(TemplateError):
    """The template wants more than it may have."""


class Budget:
    """What is left of one rendering's work and time."""

    def __init__(self, characters: int) -> None:
        """characters: size of the conversation."""
        self._left = WORK + WORK_A_CHARACTER * characters
        self._until = time.thread_time() + SECONDS
        self._steps = 0

    def pay(self, work: int) -> None:
        """Raises LimitError where the work, or the time, is more than is left."""
        self._left -= work + 1
        if self._left < 0:
            raise LimitError("it makes too much text, or takes too many steps")
        self._steps += 1
        if not self._steps % 32 and time.thread_time() > self._until:
            raise LimitError(f"it takes more than {SECONDS:g} seconds")


_budget: ContextVar[Budget] = ContextVar("budget")


def _pay(work: int) -> None:
    _budget.get().pay(work)


def _concat(pieces: Iterable[str]) -> str:
    kept = []
    for piece in pieces:
        _pay(len(piece))
        kept.append(piece)
    return "".join(kept)


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """Renders within the budget of `render_within`. Raises TemplateError, or whatever a template's mistakes raise."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    concat = staticmethod(_concat)

    def __init__(self, **options: Any) -> None:
        # the optimizer would compute constants while it compiles
        super().__init__(**options, optimized=False, finalize=_shown)
        for table, names in _REMOVED.items():
            for name in names:
                getattr(self, table).pop(name, None)
        self.filters = {name: _limited(name, function) for name, function in self.filters.items()}

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Add a filter, or replace one, within the limits."""
        self.filters[name] = _limited(name, function)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Limits().visit(super()._parse(source, name, filename))
        return tree

    def limited_iter(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values, each of which is paid for."""
        for value in values:
            _pay(0)
            yield value

    def limited_join(self, *values: Any) -> str:
        """Texts put together, as `~` does."""
        _pay(sum(map(_size, values)))
        return "".join(map(str, values))

    def measured(self, value: Any) -> Any:
        """A list or mapping, once it is known not to hold too much."""
        _size(value)
        _pay(len(value))
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Do `+`, `*`, `**` or `%`, once what it makes is paid for."""
        _pay(_made_by(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as jinja has it
        """Call what the template calls, once what it makes is paid for."""
        if getattr(__obj, "__self__", None) is __self:
            return __obj(*args)
        if isinstance(__obj, LoopContext):
            args = tuple(map(__self.limited_iter, args))
        method = getattr(__obj, "__wrapped__", __obj)  # jinja puts a function of its own before str.format
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            if name not in _TEXT_METHODS:
                raise LimitError(f"{name} of a text is not allowed")
            args = tuple(_held(value) for value in args)
            _pay(_made(name, (owner, *args), kwargs))
        elif isinstance(owner, bytes | int | float):
            raise LimitError(f"{name} of a {type(owner).__name__} is not allowed")
        else:
            _pay(0)
        return _paid(super().call(__context, __obj, *args, **kwargs))


def render_within(budget: Budget, render: Callable[[], Iterable[str]]) -> str:
    """The pieces of a rendering put together, within a budget. Raises as the template does."""
    token = _budget.set(budget)
    try:
        return _concat(render())
    finally:
        _budget.reset(token)


class _Limits(NodeTransformer):
    """Puts our functions into loops, `~` and the literals of lists and mappings."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as jinja names them
        self.generic_visit(node)
        node.iter = _call("limited_iter", [node.iter])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("limited_join", list(node.nodes))

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return node if _constant(node.items) else _call("measured", [node])

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return node if _constant([pair.value for pair in node.items]) else _call("measured", [node])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return node if node.ctx != "load" or _constant(node.items) else _call("measured", [node])


def _constant(items: Iterable[nodes.Node]) -> bool:
    return all(isinstance(item, nodes.Const) for item in items)


def _shown(value: Any) -> Any:
    """A value that is about to be written as text."""
    if not isinstance(value, str | int | float | Undefined):
        _pay(_size(value))
    return value


def _call(name: str, args: list[Any]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), args, [], None, None, lineno=args[0].lineno if args else 1)


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for what it makes."""
    first = 0 if _PassArg.from_obj(function) is None else 1

    @functools.wraps(function)
    def limited(*args: Any, **kwargs: Any) -> Any:
        given = args[first:]
        if name not in _LAZY:
            given = tuple(_held(value) for value in given)
            _pay(_made(name, given, kwargs))
        return _paid(function(*args[:first], *given, **kwargs))

    return limited


def _held(value: Any) -> Any:
    """A value that can be measured: what is made only when it is looped over is made now."""
    if not isinstance(value, Iterator):
        return value
    made = []
    for item in value:
        _pay(0)
        made.append(item)
    return made


def _paid(value: Any) -> Any:
    """A result, paid for by what it holds itself."""
    if isinstance(value, str | list | tuple | dict):
        _pay(len(value))
        if not isinstance(value, str):
            _size(value)
    return value


def _made(name: str, given: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """At most so much is made by a filter, or a method of a text, of what it is given."""
    values = (*given, *kwargs.values())
    size = sum(map(_size, values))
    number = max((abs(value) for value in values[1:] if isinstance(value, int)), default=1)
    if number > _LARGEST and name not in ("default", "d"):
        raise LimitError(f"it gives {name} the number {number}")
    if name == "replace" and len(given) > 2:
        old, new = str(given[1]), str(given[2])
        return size + str(given[0]).count(old) * len(new)
    if name == "join":
        items = max((len(value) for value in values if isinstance(value, list | tuple | dict | str)), default=0)
        return size + items * max((len(value) for value in values if isinstance(value, str)), default=0)
    if name == "format":
        return _formatted(str(given[0]), values[1:])
    if name == "sum":
        return size * (size if any(isinstance(value, list | tuple) for value in values[1:]) else 1)
    return size * max(1, number) if name in _STRETCHED else size


def _formatted(text: str, values: Iterable[Any]) -> int:
    """At most so long is a format with these values in it: a width stands in the text, or among the values."""
    values = list(values)
    widths = [int(digits[:10]) for digits in _NUMBER.findall(text)]
    widths += [abs(value) for value in values if isinstance(value, int)]
    places = text.count("{") + text.count("%")
    return len(text) + places * (sum(map(_size, values)) + max(widths, default=0))


def _made_by(operator: str, left: Any, right: Any) -> int:
    """At most so much is made by an operator. Raises LimitError for numbers that are too long."""
    if operator == "%":
        if not isinstance(left, str):
            return 0
        values = right if isinstance(right, tuple) else right.values() if isinstance(right, Mapping) else (right,)
        return _formatted(left, values)
    if operator == "+":
        sides = [side for side in (left, right) if isinstance(side, str | list | tuple)]
        for side in sides:
            _size(side)  # it may hold others that hold others
        return sum(map(len, sides))
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            return _size(one) * max(0, other)
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(0, right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _BITS:
            raise LimitError("it computes with too long numbers")
    return 0


def _size(value: Any) -> int:
    """Characters and values inside a value. Raises LimitError where they are too many."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, list | tuple | dict | Namespace):
        return 1
    size, count, open_values = 0, 0, [value]
    while open_values:
        inner = open_values.pop()
        count += 1
        if isinstance(inner, str):
            size += len(inner)
        elif isinstance(inner, dict):
            open_values += inner
            open_values += inner.values()
        elif isinstance(inner, Namespace):
            open_values.append(object.__getattribute__(inner, "_Namespace__attrs"))
        elif isinstance(inner, list | tuple):
            open_values += inner
        if count > _NODES or len(open_values) > _NODES:
            raise LimitError("it makes too large a list")
    return size + count
