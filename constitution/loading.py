"""YAML files -> a Constitution, or every problem at once with its place and its fix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import ValidationError

from constitution.errors import suggest
from constitution.principles import AppliesTo, Check, Constitution, Example, Principle
from constitution.yaml_source import Source, SourceError, Where, read

_FIELDS = {
    "": (*Constitution.model_fields, "extends", "remove"),
    "principles": tuple(Principle.model_fields),
    "check": tuple(Check.model_fields),
    "applies_to": tuple(AppliesTo.model_fields),
    "examples": tuple(Example.model_fields),
}
_TEMPLATE = re.compile(r"\{\{\s*([^{}]{0,60}?)\s*\}\}|\{%\s*([^{}]{0,60}?)\s*%\}")
_ASKED = ("text", "antithesis", "critique", "revise", "compare")


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    place: str
    """`file:line`"""
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ConstitutionError(ValueError):
    """A constitution cannot be used; str() lists every problem, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A constitution and where each of its principles stands."""

    constitution: Constitution
    places: Mapping[str, str]
    """Principle id -> `file:line`."""
    objectives_place: str


def load(path: Path | str) -> Constitution:
    """Read a constitution, with what it extends. Raises ConstitutionError with every problem."""
    return load_with_places(Path(path)).constitution


def load_with_places(path: Path) -> Loaded:
    """As `load`, keeping the places. Raises ConstitutionError."""
    merged = _merged(path, ())
    problems = _duplicates(merged) + _template_syntax(merged)
    data = {key: value for key, value in merged.data.items() if key not in ("extends", "remove")}
    if merged.principles or "principles" in data:
        data["principles"] = [item for item, _ in merged.principles]
    constitution = None
    try:
        constitution = Constitution.model_validate(data)
    except ValidationError as error:
        problems += [_explain(dict(problem), merged) for problem in error.errors(include_url=False)]
    problems += _undeclared(merged)
    if problems or constitution is None:
        raise ConstitutionError(sorted(set(problems), key=_order))
    places = {str(item["id"]): place(()) for item, place in ((i, p.place) for i, p in merged.principles)}
    return Loaded(constitution, places, merged.source.place(("objectives",)))


def to_yaml(constitution: Constitution) -> str:
    """The constitution as a file that `load` reads back to the same."""
    fields = constitution.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)


class _At(NamedTuple):
    """Where one principle stands: its file and the keys that lead to it."""

    source: Source
    where: Where

    def place(self, inner: Where) -> str:
        return self.source.place((*self.where, *inner))


@dataclass(slots=True)
class _Merged:
    """A file and what it extends, as one."""

    source: Source
    data: dict[str, object]
    principles: list[tuple[dict[str, object], _At]]


def _merged(path: Path, chain: tuple[Path, ...]) -> _Merged:
    try:
        source = read(path)
    except SourceError as error:
        place, _, text = str(error).partition(": ")
        raise ConstitutionError([Problem(place, text)]) from None
    if not isinstance(source.data, dict):
        got = "nothing" if source.data is None else type(source.data).__name__
        raise ConstitutionError(
            [
                Problem(
                    f"{path}:1",
                    f"is no constitution: got {got}; allowed: a mapping with name, version, objectives, principles",
                )
            ]
        )
    data = dict(source.data)
    own = data.get("principles", [])
    if not isinstance(own, list) or not all(isinstance(item, dict) for item in own):
        raise ConstitutionError(
            [
                Problem(
                    source.place(("principles",)),
                    "principles: allowed: a list of mappings, each with id, objective and text",
                )
            ]
        )
    principles = [(dict(item), _At(source, ("principles", i))) for i, item in enumerate(own)]
    if "extends" not in data:
        if "remove" in data:
            raise ConstitutionError(
                [
                    Problem(
                        source.place(("remove",)),
                        "remove: takes principles out of the file that `extends` names; add `extends`, or delete them",
                    )
                ]
            )
        return _Merged(source, data, principles)
    return _extended(source, data, principles, (*chain, path.resolve()))


def _extended(
    source: Source, data: dict[str, object], own: list[tuple[dict[str, object], _At]], chain: tuple[Path, ...]
) -> _Merged:
    place = source.place(("extends",))
    target = data["extends"]
    if not isinstance(target, str):
        raise ConstitutionError(
            [Problem(place, f"extends: got {target!r}; allowed: the name of a file beside this one")]
        )
    parent_path = source.path.parent / target
    if parent_path.resolve() in chain:
        raise ConstitutionError([Problem(place, f"extends: {target} extends this file in turn; break the circle")])
    if not parent_path.is_file():
        beside = sorted(p.name for p in source.path.parent.glob("*.yaml"))
        raise ConstitutionError(
            [
                Problem(
                    place,
                    f"extends: {target}: no such file{suggest(target, beside)}; paths are relative to {source.path.parent}",
                )
            ]
        )
    parent = _merged(parent_path, chain)
    removed = data.get("remove", [])
    known = [str(item.get("id")) for item, _ in parent.principles]
    unknown = [name for name in removed if name not in known] if isinstance(removed, list) else [removed]
    if unknown:
        raise ConstitutionError(
            [
                Problem(
                    source.place(("remove",)),
                    f"remove: {name!r} is no principle of {target}{suggest(str(name), known)}; allowed: a list of its ids",
                )
                for name in unknown
            ]
        )
    assert isinstance(removed, list)
    overridden = {item.get("id"): (item, at) for item, at in own}
    principles = [
        overridden.get(item.get("id"), (item, at)) for item, at in parent.principles if item.get("id") not in removed
    ]
    fresh = [(item, at) for item, at in own if item.get("id") not in known or item.get("id") in removed]
    objectives = data.get("objectives", {})
    parents = parent.data.get("objectives", {})
    if isinstance(objectives, dict) and isinstance(parents, dict):
        data["objectives"] = {**parents, **objectives}
    if "license" not in data and "license" in parent.data:
        data["license"] = parent.data["license"]
    return _Merged(source, data, [*principles, *fresh])


def _duplicates(merged: _Merged) -> list[Problem]:
    seen: dict[object, str] = {}
    problems = []
    for item, at in merged.principles:
        name = item.get("id")
        if name in seen and isinstance(name, str):
            problems.append(
                Problem(at.place(("id",)), f"id: {name!r} stands twice (first at {seen[name]}); rename or delete one")
            )
        elif isinstance(name, str):
            seen[name] = at.place(("id",))
    return problems


def _template_syntax(merged: _Merged) -> list[Problem]:
    """Authors' texts are plain data. Braces in them mean somebody expects them to be filled in."""
    problems = []
    for item, at in merged.principles:
        for key in _ASKED:
            found = _TEMPLATE.search(value) if isinstance(value := item.get(key), str) else None
            if found:
                name = found.group(1) or found.group(2)
                problems.append(
                    Problem(
                        at.place((key,)),
                        f"{key}: unknown variable {name!r} in {found.group(0)!r}; allowed: plain text: "
                        "the conversation and the replies are added around it",
                    )
                )
    return problems


def _undeclared(merged: _Merged) -> list[Problem]:
    objectives = merged.data.get("objectives")
    if not isinstance(objectives, dict) or not objectives:
        return []
    names = [str(name) for name in objectives]
    return [
        Problem(
            at.place(("objective",)),
            f"objective: got {value!r}{suggest(value, names)}; allowed: {', '.join(names)}; or add it to `objectives`",
        )
        for item, at in merged.principles
        if isinstance(value := item.get("objective"), str) and value not in names
    ]


def _explain(problem: Mapping[str, object], merged: _Merged) -> Problem:
    """pydantic's error as a place, a value, what is allowed and the fix."""
    location = problem["loc"]
    assert isinstance(location, tuple)
    if len(location) > 1 and location[0] == "principles" and isinstance(location[1], int):
        item, at = merged.principles[location[1]]
        place, inner, owner = at.place(location[2:]), location[2:], f"principle {item.get('id', location[1])!r}: "
    else:
        place, inner, owner = merged.source.place(location), location, ""
    key = ".".join(str(part) for part in inner if part != "[key]")
    if problem["type"] == "extra_forbidden":
        groups = [str(part) for part in location[:-1] if isinstance(part, str)]
        allowed = _FIELDS[groups[-1] if groups else ""]
        return Problem(
            place, f"{owner}{key}: unknown key{suggest(str(location[-1]), allowed)}; allowed: {', '.join(allowed)}"
        )
    if problem["type"] == "missing":
        return Problem(place, f"{owner}{key}: is missing; add it")
    message = str(problem["msg"]).removeprefix("Value error, ")
    return Problem(place, f"{owner}{key}: got {_short(problem['input'])}; {message[0].lower() + message[1:]}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _order(problem: Problem) -> tuple[str, int, str]:
    file, _, line = problem.place.rpartition(":")
    return file, int(line), problem.text
