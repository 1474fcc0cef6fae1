"""Rules of the user's own: Python functions out of files that a command line names, never a constitution.

A constitution may come from anybody, and so names such a rule without saying where it is: `check: {own: short}`.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator

from constitution.digest import file_digest
from constitution.errors import Problem, UserError, invalid, suggest
from constitution.options import Option
from constitution.records import Message, Prompt

Judge = Callable[[Prompt, Message], bool | str | None]
"""(prompt, response) -> True or None where the response keeps the rule; False, or why, where it does not."""
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__solon_rule__"


class OwnRule(NamedTuple):
    """One function and the file that it is out of."""

    judge: Judge
    source: str
    """Digest of the file."""
    file: str


_rules: dict[str, OwnRule] = {}
RUNS_TESTS = "run_unit_tests"
"""The rule that is loaded where code of responses may be run with a row's tests."""
TESTS_ARE_OFF = Problem(
    "", "tests", "runs the code of responses, which is off", "",
    "add --rules critics.rules.unit_tests to the command line, if you want it",
)  # fmt: skip
FLAG = "--rules"
HELP = "Python file or module with rules of your own, named by `own` in a check; repeatable"


def rule(function: F) -> F:
    """Mark a function of a rules file as a rule. Where one is marked, functions that are not are none.

    >>> @solon.rule
    ... def short(prompt, response):
    ...     return len(response.content) <= 200 or "is too long"
    >>> asked = solon.Message(role="user", content="Hi!")
    >>> short(solon.Prompt(id="hi", messages=(asked,)), solon.Message(role="assistant", content="Hello!"))
    True
    """
    setattr(function, _MARK, True)
    return function


def own_rules() -> Mapping[str, OwnRule]:
    """Name -> rule, of all that were loaded."""
    return MappingProxyType(_rules)


def load_rules(name: str | Path) -> tuple[str, ...]:
    """Run a file, or a module by its dotted name, and take its rules; returns their names. Raises UserError.

    A rule is a function marked with `solon.rule`, or, where none is marked, any function of the file's own with two arguments and a
    name that does not begin with an underscore. A constitution that is loaded afterwards may name them: `check: {own: short}`.

    >>> from pathlib import Path
    >>> _ = Path("rules.py").write_text("def short(prompt, response): return len(response.content) <= 200")
    >>> solon.load_rules("rules.py")
    ('short',)
    """
    path = _file(str(name))
    module = _run(path)
    functions = {key: value for key, value in vars(module).items() if inspect.isfunction(value)}
    marked = {key: value for key, value in functions.items() if hasattr(value, _MARK)}
    plain = {
        key: value for key, value in functions.items() if value.__module__ == module.__name__ and _fits(key, value)
    }
    found = marked or plain
    if not found:
        raise UserError(Problem("--rules", str(path), "has no rule", "a function (prompt, response)", "add one"))
    source = file_digest(path)
    for key, function in found.items():
        known = _rules.get(key)
        if known and known.source != source:
            raise UserError(Problem("--rules", str(path), f"has a rule {key!r}, as {known.file} has", fix="rename one"))
        _rules[key] = OwnRule(function, source, str(path))
    return tuple(found)


class LoadRules(argparse.Action):
    """An option whose files are run as the command line is read. Raises UserError."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, flag: str | None = None
    ) -> None:
        """Load one file."""
        load_rules(str(values))


def loading_options() -> list[str]:
    """The options that load in another process what was loaded in this one."""
    files = dict.fromkeys(str(Path(one.file).resolve()) for one in _rules.values())
    return [part for file in files for part in (FLAG, file)]


def the_rule(name: str) -> OwnRule:
    """The rule of that name. Raises UserError."""
    if name in _rules:
        return _rules[name]
    got = f"no rule {name!r} was loaded{suggest(name, _rules)}"
    allowed = f"one of {', '.join(_rules)}" if _rules else ""
    raise UserError(Problem("", "own", got, allowed, "name the file that has it with --rules FILE"))


def _file(name: str) -> Path:
    path = Path(name)
    if path.suffix == ".py" or path.is_file():
        if not path.is_file():
            raise UserError(Problem("--rules", name, "no such file", "a Python file, or a module's dotted name"))
        return path
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise UserError(Problem("--rules", name, "no such file or module", "a Python file, or a module's dotted name"))
    return Path(spec.origin)


def _run(path: Path) -> ModuleType:
    name = f"solon_rules_{file_digest(path)}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as import does, for dataclasses and pickles in it
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own file raises
        del sys.modules[name]
        got = f"raised {type(error).__name__}: {error}"
        raise UserError(Problem("--rules", str(path), got[:500], fix="mend the file")) from error
    return module


def _fits(name: str, function: Callable[..., object]) -> bool:
    kinds = [one.kind for one in inspect.signature(function).parameters.values()]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return not name.startswith("_") and len(kinds) == 2 and all(kind in positional for kind in kinds)


def loaded(name: str) -> str:
    """The name of a file or module, once its rules are loaded. Raises ValueError with a problem's parts."""
    try:
        load_rules(name)
    except UserError as error:
        first = error.problems[0]
        raise invalid(f"{first.key}: {first.got}", first.allowed, first.fix) from None
    return name


RulesFiles = Annotated[tuple[Annotated[str, AfterValidator(loaded)], ...], Option("FILE")]
"""Setting of a command: files or modules with rules, which are run as the command line is read."""
