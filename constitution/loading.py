"""YAML files -> a Constitution, or every problem at once with its place and its fix."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import Field, StrictStr, ValidationError

from constitution.checks.own import RUNS_TESTS, TESTS_ARE_OFF, the_rule
from constitution.errors import Location, Problem, UserError, problems_of, shown, suggest
from constitution.principles import Constitution, Id, Principle, Weight
from constitution.source.reading import Source, read

SHIPPED = Path(__file__).parents[1] / "principles"
"""Folder of the constitutions that come with Solon, each found by its name."""

_TEMPLATE = re.compile(r"\{\{\s*+([^{}]{0,60}?)\s*+\}\}|\{%\s*+([^{}]{0,60}?)\s*+%\}")
_ASKED = ("text", "antithesis", "critique", "revise", "compare")


class ConstitutionFile(Constitution):
    """What one YAML file may hold: a constitution, or what it changes of another one."""

    extends: StrictStr | None = None
    """Another file, relative to this one, whose objectives and principles are taken over. A principle with the same id
    replaces the other file's."""
    remove: tuple[StrictStr, ...] = ()
    """Ids of the other file's principles that are left out."""
    objectives: dict[Id, Weight] = Field(default_factory=dict)
    """Weights of the mixture; required unless another file has them."""
    principles: tuple[Principle, ...] = ()
    """The rules of conduct; required unless another file has them."""


@dataclass(frozen=True, slots=True)
class ConstitutionWithPlaces:
    """A constitution and where each of its principles stands."""

    constitution: Constitution
    places: Mapping[str, str]
    """Principle id -> `file:line`."""
    objectives_place: str


def shipped() -> dict[str, Path]:
    """Name -> file of every constitution that comes with Solon, such as `hhh` and `gold/concise`."""
    files = sorted(SHIPPED.rglob("*.yaml"))
    return {path.relative_to(SHIPPED).with_suffix("").as_posix(): path for path in files}


def find(name_or_path: Path | str) -> Path:
    """The file of a constitution: a path that exists, or the name of a shipped one. Raises UserError.

    A path wins over a name. What looks like a path (it has a suffix) is returned as it is, for `load` to say that it is missing.
    """
    path = Path(name_or_path)
    if path.exists() or path.suffix:
        return path
    known = shipped()
    if found := known.get(path.as_posix()):
        return found
    got = f"no such file or shipped constitution{suggest(path.as_posix(), known)}"
    raise UserError(Problem("", str(name_or_path), got, f"a YAML file, {', '.join(known)}"))


def load(path: Path | str) -> Constitution:
    """Read a constitution, with what it extends. path: a file, or the name of a shipped one.

    Raises UserError with every problem.
    """
    return load_with_places(path).constitution


def load_with_places(path: Path | str, text: str | None = None) -> ConstitutionWithPlaces:
    """As `load`, keeping the places. text: what the file would hold, in place of what it does. Raises UserError."""
    merged = _merged(find(path) if text is None else Path(path), (), text)
    _check_duplicates(merged)
    _check_template_syntax(merged)
    data = {key: value for key, value in merged.data.items() if key not in ("extends", "remove")}
    if merged.principles or "principles" in data:
        data["principles"] = [item for item, _ in merged.principles]
    constitution = None
    try:
        constitution = Constitution.model_validate(data)
    except ValidationError as error:
        found = problems_of(error, ConstitutionFile, merged.place, merged.key)
        merged.problems += found
    _check_objectives(merged)
    if merged.problems or constitution is None:
        raise UserError(sorted(set(merged.problems), key=lambda p: (*merged.order.get(p.place, (p.place, 0)), p)))
    constitution = _with_own_rules(merged, constitution)
    places = {str(item["id"]): at.source.place(at.location) for item, at in merged.principles}
    return ConstitutionWithPlaces(constitution, places, merged.place(("objectives",)))


def to_yaml(constitution: Constitution) -> str:
    """The constitution as a file that `load` reads back to the same."""
    fields = constitution.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)


class _At(NamedTuple):
    """Where one principle stands: its file and the keys that lead to it."""

    source: Source
    location: Location


Item = tuple[dict[str, object], _At]
"""A principle as it was read, and where it stands."""


@dataclass(slots=True)
class _Merged:
    """A file and what it extends, as one, and what is wrong with it."""

    source: Source
    data: dict[str, object]
    principles: list[Item]
    problems: list[Problem] = field(default_factory=list)
    order: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Place -> its file and line, by which problems are sorted."""

    def add(self, location: Location, got: str, allowed: str = "", fix: str = "") -> None:
        """Note what is wrong with the value at a location of the merged data."""
        self.problems.append(Problem(self.place(location), self.key(location), got, allowed, fix))

    def place(self, location: Location) -> str:
        """`file:line` of a value of the merged data."""
        source, inner = self.source, location
        if at := self._principle(location):
            source, inner = at[1].source, (*at[1].location, *location[2:])
        place = source.place(inner)
        self.order[place] = str(source.path), source.line(inner)
        return place

    def key(self, location: Location) -> str:
        """Dotted name of a value, a principle by its id."""
        if found := self._principle(location):
            location = (location[0], str(found[0].get("id", location[1])), *location[2:])
        return ".".join(map(str, location))

    def _principle(self, location: Location) -> Item | None:
        if len(location) > 1 and location[0] == "principles" and isinstance(location[1], int):
            return self.principles[location[1]]
        return None


def _wrong(source: Source, key: str, got: str, allowed: str = "", fix: str = "") -> UserError:
    return UserError(Problem(source.place((key,) if key else ()), key, got, allowed, fix))


def _merged(path: Path, chain: tuple[Path, ...], text: str | None = None) -> _Merged:
    source = read(path, text)
    if not isinstance(source.data, dict):
        got = "nothing" if source.data is None else type(source.data).__name__
        allowed = "a mapping with name, version, objectives, principles"
        raise _wrong(source, "", f"is no constitution: got {got}", allowed)
    data = dict(source.data)
    own = data.get("principles", [])
    if not isinstance(own, list) or not all(isinstance(item, dict) for item in own):
        allowed = "a list of mappings, each with id, objective and text"
        raise _wrong(source, "principles", f"got {shown(own)}", allowed)
    principles = [(dict(item), _At(source, ("principles", i))) for i, item in enumerate(own)]
    if "extends" in data:
        return _extended(source, data, principles, (*chain, Path(os.path.realpath(path))))
    if "remove" in data:
        got = "takes principles out of the file that `extends` names"
        raise _wrong(source, "remove", got, fix="add `extends`, or delete them")
    return _Merged(source, data, principles)


def _extended(source: Source, data: dict[str, object], own: list[Item], chain: tuple[Path, ...]) -> _Merged:
    target = data["extends"]
    if not isinstance(target, str):
        raise _wrong(source, "extends", f"got {target!r}", "the name of a file beside this one")
    parent_path = source.path.parent / target
    if Path(os.path.realpath(parent_path)) in chain:  # unlike resolve, it takes links that go in circles
        raise _wrong(source, "extends", f"{target} extends this file in turn", fix="break the circle")
    if not parent_path.is_file():
        beside = sorted(p.name for p in source.path.parent.glob("*.yaml"))
        got, fix = f"{target}: no such file{suggest(target, beside)}", f"paths are relative to {source.path.parent}"
        raise _wrong(source, "extends", got, fix=fix)
    parent = _merged(parent_path, chain)
    known = [str(item.get("id")) for item, _ in parent.principles]
    removed = _removed(source, data.get("remove", []), target, known)
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


def _removed(source: Source, removed: object, target: str, known: Sequence[str]) -> list[object]:
    """Ids of the parent's principles to leave out. Raises UserError for those it does not have."""
    names = removed if isinstance(removed, list) else [removed]
    unknown = [name for name in names if name not in known]
    if unknown or not isinstance(removed, list):
        place = source.place(("remove",))
        raise UserError(
            Problem(
                place, "remove", f"{name!r} is no principle of {target}{suggest(str(name), known)}", "a list of its ids"
            )
            for name in unknown or names
        )
    return names


def _check_duplicates(merged: _Merged) -> None:
    seen: dict[str, str] = {}
    for i, (item, _) in enumerate(merged.principles):
        name = item.get("id")
        location = ("principles", i, "id")
        if isinstance(name, str) and name in seen:
            merged.add(location, f"{name!r} occurs twice (first at {seen[name]})", fix="rename or delete one")
        elif isinstance(name, str):
            seen[name] = merged.place(location)


def _check_template_syntax(merged: _Merged) -> None:
    """Authors' texts are plain data. Braces in them mean somebody expects them to be filled in."""
    for i, (item, _) in enumerate(merged.principles):
        for key in _ASKED:
            found = _TEMPLATE.search(value) if isinstance(value := item.get(key), str) else None
            if found:
                name = found.group(1) or found.group(2)
                allowed = "plain text: the conversation and the responses are added around it"
                merged.add(("principles", i, key), f"unknown variable {name!r} in {found.group(0)!r}", allowed)


def _with_own_rules(merged: _Merged, constitution: Constitution) -> Constitution:
    """The constitution with the sources of its own rules. Raises UserError for those that were not loaded.

    A run's copy names its sources, and is read without them.
    """
    principles = list[Principle]()
    for i, principle in enumerate(constitution.principles):
        check = principle.check
        if check and (check.own or check.tests) and not check.own_source:
            try:
                source = the_rule(check.own or RUNS_TESTS).source
            except UserError as error:
                (problem,) = error.problems
                told = problem if check.own else TESTS_ARE_OFF
                merged.add(("principles", i, "check", told.key), told.got, told.allowed, told.fix)
                continue
            principle = principle.model_copy(update={"check": check.model_copy(update={"own_source": source})})
        principles.append(principle)
    if merged.problems:
        raise UserError(merged.problems)
    return constitution.model_copy(update={"principles": tuple(principles)})


def _check_objectives(merged: _Merged) -> None:
    objectives = merged.data.get("objectives")
    if not isinstance(objectives, dict) or not objectives:
        return
    names = [str(name) for name in objectives]
    for i, (item, _) in enumerate(merged.principles):
        value = item.get("objective")
        if isinstance(value, str) and value not in names:
            got, allowed = f"got {value!r}{suggest(value, names)}", ", ".join(names)
            merged.add(("principles", i, "objective"), got, allowed, "or add it to `objectives`")
