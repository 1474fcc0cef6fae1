"""The order of the packages and the size of their parts, read from the source."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = ("constitution", "critics", "generation", "evaluation", "training")
FIRST_PARTY = {*ORDER, "generate_feedback", "benchmarks", "scripts"}
FILE_CAP, FILE_MEDIAN, FUNCTION_CAP = 400, 150, 60

PACKAGES = [path for name in ORDER for path in sorted((ROOT / name).rglob("*.py"))]
SHIPPED = [*PACKAGES, ROOT / "generate_feedback.py", *sorted((ROOT / "scripts").glob("*.py"))]
OURS = [*SHIPPED, *sorted((ROOT / "benchmarks").rglob("*.py"))]
ALL = [*OURS, *sorted((ROOT / "tests").rglob("*.py"))]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """Dotted name of a file's module; a package's name for its `__init__.py`."""
    return label(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported below a node; of `from a import b` both a and a.b."""
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            yield from ((part.lineno, alias.name) for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0, f"line {part.lineno}: relative import; write the package's name"
            yield part.lineno, part.module or ""
            yield from ((part.lineno, f"{part.module}.{alias.name}") for alias in part.names)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def upward(path: Path) -> list[str]:
    """Imports of a package's file that the order forbids."""
    package = label(path).split("/")[0]
    allowed = {*ORDER[: ORDER.index(package) + 1]}
    forbidden = FIRST_PARTY - allowed
    return sorted(
        {f"{label(path)}:{line}: {name}" for line, name in imports(tree(path)) if name.split(".")[0] in forbidden}
    )


@pytest.mark.parametrize("path", [p for p in PACKAGES if p.name != "__main__.py"], ids=label)
def test_a_package_imports_only_from_those_before_it(path: Path) -> None:
    assert upward(path) == []


def test_the_check_sees_an_import_of_a_later_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "critics").mkdir()
    path = tmp_path / "critics" / "ranking.py"
    path.write_text("from critics import compare\n\ndef f():\n    from generation.engine import Engine\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert upward(path) == [
        "critics/ranking.py:4: generation.engine",
        "critics/ranking.py:4: generation.engine.Engine",
    ]


def test_modules_do_not_import_in_a_circle() -> None:
    known = {module(path) for path in SHIPPED}
    graph = {module(path): {name for _, name in imports(tree(path))} & known - {module(path)} for path in SHIPPED}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", ALL, ids=label)
def test_functions_import_nothing_of_ours(path: Path) -> None:
    found = {
        f"{label(path)}:{line}: {name}"
        for function in functions(path)
        for line, name in imports(function)
        if name.split(".")[0] in FIRST_PARTY
    }
    assert found == set()


@pytest.mark.parametrize("path", OURS, ids=label)
def test_types_are_imported_like_everything_else(path: Path) -> None:
    assert "TYPE_CHECKING" not in {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(tree(path))}


@pytest.mark.parametrize("path", OURS, ids=label)
def test_a_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{label(path)}: starts without a docstring"


@pytest.mark.parametrize("path", OURS, ids=label)
def test_nothing_is_left_unfinished(path: Path) -> None:
    found = re.findall(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b", path.read_text(encoding="utf-8"))
    assert found == []


def test_no_file_is_long() -> None:
    assert {label(path): lines(path) for path in ALL if lines(path) > FILE_CAP} == {}


def test_the_median_file_is_short() -> None:
    assert statistics.median(map(lines, SHIPPED)) <= FILE_MEDIAN


@pytest.mark.parametrize("path", OURS, ids=label)
def test_functions_are_short(path: Path) -> None:
    sizes = {f.name: (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions(path)}
    assert {name: size for name, size in sizes.items() if size >= FUNCTION_CAP} == {}
