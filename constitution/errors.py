"""What can go wrong, as data: problems with their parts, and one hierarchy of errors over them.

Three kinds are told apart. A UserError is what the user can mend: a file, an option, a setting, a model that does not fit. An
Unavailable may pass: the same command run again resumes. Whatever else is raised is a bug, and a Fault is one of another process.
No code reads an error's text; who wants to know more looks at the problems, and who wants to say it in other words changes their
fields.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from constitution.terminal import printable, printable_lines

MAX_SHOWN = 80
"""Characters of a value that a message shows."""

Location = tuple[str | int, ...]
"""Keys and indices that lead to a value, from the top."""


class Problem(NamedTuple):
    """One thing that is wrong. Its text is `place: key: got; allowed: ...; fix`, without the parts that are empty.

    One line of what can be seen, unless `got` quotes lines, as of a log.
    """

    place: str
    """Where it was said: `file:line`, a file, an option such as `--set`; empty where the key says it all."""
    key: str = ""
    """Dotted name of the setting, column or field."""
    got: str = ""
    """What was found there: a value, or what is wrong with it."""
    allowed: str = ""
    """What would be right."""
    fix: str = ""
    """What to do about it."""

    def __str__(self) -> str:
        place, key, allowed, fix = map(printable, (self.place, self.key, self.allowed, self.fix))
        head = ": ".join(filter(None, (place, key)))
        tail = "; ".join(filter(None, (printable_lines(self.got), allowed and f"allowed: {allowed}", fix)))
        return ": ".join(filter(None, (head, tail)))

    def under(self, prefix: str) -> Problem:
        """The same problem of a value that stands under a key of an outer one."""
        return self._replace(key=_under(prefix, self.key))

    def named_by(self, setting: str) -> Problem:
        """The same problem of what a setting names: one with a place of its own, such as a file, is told whole behind the name."""
        return Problem("", setting, str(self)) if self.place else self.under(setting)


class SolonError(Exception):
    """Base of every error that is not a bug."""


class UserError(SolonError, ValueError):
    """What the user can mend; `problems` has every one of them, and str() is one a line. Commands exit with 2.

    >>> try:
    ...     solon.load_constitution("hhhh")
    ... except solon.UserError as error:
    ...     print(error.problems[0].got)
    no such file or shipped constitution (did you mean hhh?)
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[UserError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class Unavailable(SolonError):
    """A server, a disk or another process is in the way for now. Commands exit with 1; run again, they resume.

    >>> server = {"url": "http://127.0.0.1:9", "attempts": 1}
    >>> judging = solon.judge("hhh", "Hi.", "Hello!", "No.", engine="endpoint", judge="x", endpoints=[server])
    >>> try:
    ...     solon.run_sync(judging)
    ... except solon.Unavailable:
    ...     print("call again later")
    call again later
    """


class Fault(SolonError):
    """A process that the command started ended by a bug; the text names its log. Commands exit with 3."""


class Problems:
    """Collects problems, so that all of them are told at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, place: str, key: str = "", got: str = "", allowed: str = "", fix: str = "") -> None:
        """Note one problem."""
        self.found.append(Problem(place, key, got, allowed, fix))

    @contextmanager
    def collect(self, prefix: str = "", setting: str = "") -> Iterator[None]:
        """Note the problems of a UserError raised inside, and go on after the block.

        prefix: key they stand under. setting: key of the setting that names what has them.
        """
        try:
            yield
        except UserError as error:
            renamed = (problem.named_by(setting) if setting else problem for problem in error.problems)
            self.found += [problem.under(prefix) for problem in renamed]

    def check(self) -> None:
        """Raises UserError when there are problems; equal ones are told once."""
        if self.found:
            raise UserError(dict.fromkeys(self.found))


def suggest(word: str, allowed: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no allowed word is close.

    Where none is spelled like it, up to three that begin with the same part: `max_length` is close to `max_words`.
    """
    names = list(allowed)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    first, _, rest = word.partition("_")
    alike = [name for name in names if rest and name.startswith(f"{first}_")]
    close = close or (alike if len(alike) <= 3 else [])
    return f" (did you mean {' or '.join(close)}?)" if close else ""


_CREDENTIAL = re.compile(
    r"""(//)[^/@\s'"]+(?=@)|((?:key(?!error)|token(?!s)|secret|passw|authorization|cookie)[\w-]{0,40}+['"]?\s*+[:=]\s*['"]?)(?![$\[{])[^'"&,}\s]+(?:\s[^'"&,}\s]+)?""",
    re.IGNORECASE,
)
"""A user and a password in an address, and the value of what is named a key, a token or the like."""


def without_credentials(text: str) -> str:
    """The text with `[secret]` in place of what looks like a password or a key."""
    return _CREDENTIAL.sub(lambda found: f"{found[1] or found[2]}[secret]", text)


_LOOKED_AT = 10_000
"""Characters of a value's repr in which credentials are looked for, of which far fewer are shown."""


def shown(value: object) -> str:
    """A value as a message shows it: its repr, at most MAX_SHOWN characters, without credentials that it may hold."""
    text = without_credentials(repr(value)[:_LOOKED_AT])
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def invalid(got: str, allowed: str = "", fix: str = "", key: str = "") -> PydanticCustomError:
    """What a pydantic validator raises so that the parts of its problem stay apart.

    key: dotted name below the validated value, where the validator looks at more than one field.
    """
    parts = {"got": got, "allowed": allowed, "fix": fix, "key": key}
    return PydanticCustomError("problem", "{text}", {**parts, "text": str(Problem("", "", got, allowed, fix))})


_ALLOWED: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a string",
    "path_type": "a path",
    "finite_number": "a finite number",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "{min_length} or more items",
    "too_long": "{max_length} or fewer items",
    "string_too_short": "a string of {min_length} or more characters",
    "string_too_long": "a string of {max_length} or fewer characters",
    "string_pattern_mismatch": "a string that matches {pattern}",
}
"""pydantic's type of an error -> what is allowed there, with the names of the error's context."""


def dotted(location: Location) -> str:
    """A location as the dotted name of a setting."""
    return ".".join(map(str, location))


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    place: str | Callable[[Location], str] = "",
    name: Callable[[Location], str] = dotted,
) -> tuple[Problem, ...]:
    """pydantic's errors as problems.

    place: where the data stands, or what tells it from a location in the data. name: the key of a location.
    """
    found = []
    for one in error.errors(include_url=False):
        if one["type"] == "default_factory_not_called":
            continue  # a default that depends on a value with a problem of its own
        location = _data_location(model, tuple(one["loc"]))
        where = place if isinstance(place, str) else place(location)
        found.append(_problem_of(one, model).under(name(location))._replace(place=where))
    return tuple(found)


def _problem_of(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    """One of pydantic's errors, without place and key."""
    location, value, context = tuple(error["loc"]), error["input"], error.get("ctx", {})
    got = f"got {shown(value)}"
    match error["type"]:
        case "extra_forbidden":
            keys = siblings(model, location)
            return Problem("", "", f"unknown key{suggest(str(location[-1]), keys)}", ", ".join(keys))
        case "missing":
            return Problem("", "", "is missing", fix="add it")
        case "problem":
            return Problem("", context["key"], context["got"], context["allowed"], context["fix"])
        case "tuple_type" | "list_type":
            return Problem("", "", got, "a list", f"write [{value}]" if isinstance(value, str) else "")
        case "model_type" | "model_attributes_type" | "dict_type":
            keys = siblings(model, (*location, ""))
            return Problem("", "", got, f"a mapping with {', '.join(keys)}" if keys else "a mapping")
        case "literal_error" | "enum":
            choices = [str(choice) for choice in _choices(model, location)]
            hint = suggest(value, choices) if isinstance(value, str) else ""
            return Problem("", "", f"{got}{hint}", ", ".join(choices) or str(context["expected"]))
        case "union_tag_not_found":
            return Problem("", "", f"has no {context['discriminator']}", fix="add it")
        case "union_tag_invalid":
            return Problem("", "", f"got {context['discriminator']} {context['tag']!r}", str(context["expected_tags"]))
        case "value_error":
            return Problem("", "", str(context["error"]))
        case kind if kind in _ALLOWED:
            limits = {name: int(n) if isinstance(n, float) and n.is_integer() else n for name, n in context.items()}
            return Problem("", "", got, _ALLOWED[kind].format(**limits))
        case _:
            return Problem("", "", got, fix=error["msg"][:1].lower() + error["msg"][1:])


def _under(prefix: str, key: str) -> str:
    return ".".join(filter(None, (prefix, key)))


def _choices(model: type[BaseModel], location: Location) -> list[object]:
    """Values that are allowed at a location; none where its type lists none."""
    found: list[object] = []
    for kind in _kinds_at(model, location):
        if isinstance(kind, type) and issubclass(kind, Enum):
            found += [member.value for member in kind]
        else:
            found += _literals(kind)
    return found


def _literals(kind: Any) -> list[object]:
    if get_origin(kind) is Literal:
        return [*get_args(kind)]
    inner = get_args(kind) if _union(kind) else get_args(kind)[:1] if get_origin(kind) is Annotated else ()
    return [value for one in inner for value in _literals(one)]


def _kinds_at(model: type[BaseModel], location: Sequence[int | str]) -> list[Any]:
    """Types of what may stand at a location."""
    kinds: list[Any] = [model]
    for part in location:
        kinds = [inner for outer in kinds for inner in _inside(outer, part)]
    return kinds


def siblings(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Names allowed beside the last key of a location, sorted; none where no model stands there."""
    return sorted(
        {name for kind in _kinds_at(model, location[:-1]) for one in _models(kind) for name in one.model_fields}
    )


def _data_location(model: type[BaseModel], location: Location) -> Location:
    """A location without what pydantic adds to it: the names and tags of a union's members, `[key]` of a mapping's key."""
    kinds: list[Any] = [model]
    kept: list[str | int] = []
    for part in location:
        if part == "[key]" or any(_is_member(kind, part) for kind in kinds):
            kinds = [inner for outer in kinds for inner in _inside(outer, part)]
            continue
        kept.append(part)
        kinds = [inner for outer in kinds for inner in _inside(outer, part)]
    return tuple(kept)


def _union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_member(kind: Any, part: int | str) -> bool:
    if get_origin(kind) is Annotated:
        return _is_member(get_args(kind)[0], part)
    return _union(kind) and any(part == one.__name__ or part in _tags(one) for one in _models(kind))


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models among the types that a value may have."""
    origin = get_origin(kind)
    if _union(kind):
        for one in get_args(kind):
            yield from _models(one)
    elif origin is Annotated:
        yield from _models(get_args(kind)[0])
    elif isinstance(kind, type) and origin is None and issubclass(kind, BaseModel):
        yield kind


def _inside(kind: Any, part: int | str) -> list[Any]:
    """Types of what stands at a field, index or key of a value; a union's member named by its class or its tag stays itself."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _inside(inner[0], part)
    if _union(kind):
        named = [model for model in _models(kind) if part == model.__name__ or part in _tags(model)]
        return named or [found for one in inner for found in _inside(one, part)]
    if origin is tuple and isinstance(part, int) and inner[-1] is not Ellipsis:
        return [inner[part]] if part < len(inner) else []
    if isinstance(origin, type) and inner:
        # a mapping's values or a sequence's items
        return [inner[1] if issubclass(origin, Mapping) else inner[0]]
    return [model.model_fields[part].annotation for model in _models(kind) if part in model.model_fields]


def _tags(model: type[BaseModel]) -> set[object]:
    """Values that tell a union's members apart."""
    kinds = [field.annotation for field in model.model_fields.values()]
    return {tag for kind in kinds if get_origin(kind) is Literal for tag in get_args(kind)}
