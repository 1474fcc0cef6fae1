"""The order of packages and folders, and the size of their parts, read from the source. One test a rule; it lists every offender."""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_CAP, FILE_MEDIAN, FUNCTION_CAP, FOLDER_CAP = 400, 150, 60, 15

REST = "."
"""Stands, in an order, for all modules and folders of the package that it does not name."""
ORDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "constitution": ((REST,),),
    "critics": (("templating", "transcript"), ("text",), (REST,), ("ranking",)),
    "generation": (
        ("settings",), ("engines",), ("calls",), ("config",), ("models",), ("output",), ("prompts",), ("pipeline",), ("cluster",), (REST,),
    ),
    "evaluation": (
        ("statistics", "bootstrap", "measures", "files", "run_files"), ("texts",), ("pages",), ("judge",), ("audit",), ("policy",),
        ("attack",), ("verify",), ("diff",), (REST,),
    ),
    "training": (
        ("config",), ("monitor",), ("data",), ("model",), ("recipes",), ("run",), ("rollout",), ("ppo",), ("best_of",), ("loop",), (REST,),
    ),
    "studio": ((REST,),),
    "solon": ((REST,),),
}  # fmt: skip
"""Packages, lowest first, and what is inside each, lowest first: an import goes from a higher one to a lower or equal one."""
AGAINST: set[tuple[str, str]] = {
    ("evaluation.audit.command", "evaluation.diff.runs"),
    ("evaluation.run_files", "evaluation.diff.runs"),
    ("generation.engines.replay", "generation.calls.call_file"),
    ("generation.engines.reward", "generation.models.chat_model"),
    ("generation.engines.reward", "generation.models.files"),
    ("generation.engines.reward", "generation.models.quiet"),
    ("generation.engines.stored", "generation.calls.store"),
    ("generation.engines.transformers", "generation.models.files"),
    ("generation.engines.transformers", "generation.models.quiet"),
    ("generation.engines.vllm", "generation.models.files"),
    ("generation.engines.vllm", "generation.models.quiet"),
    ("generation.output.columns", "generation.pipeline.controls"),
    ("generation.output.dataset", "generation.pipeline.controls"),
    ("generation.output.dataset", "generation.pipeline.feedback"),
    ("generation.output.manifest", "generation.pipeline.controls"),
    ("generation.output.manifest", "generation.pipeline.feedback"),
    ("generation.output.summary", "generation.pipeline.forecast"),
    ("generation.output.summary", "generation.pipeline.progress"),
    ("training.config", "training.run.watch"),
    ("training.model.memory_estimate", "training.run.launch"),
    ("training.model.models", "training.run.card"),
    ("training.model.models", "training.run.launch"),
    ("training.monitor.measure", "training.rollout.rules"),
    ("training.rollout.mixture", "training.ppo.config"),
    ("training.rollout.models", "training.ppo.config"),
    ("training.rollout.rollouts", "training.ppo.config"),
    ("training.rollout.vllm", "training.ppo.job"),
}
"""Imports that still run against the order inside a package."""

FIRST_PARTY = {*ORDER, "generate_feedback", "benchmarks", "scripts", "examples"}
PACKAGES = [path for name in ORDER for path in sorted((ROOT / name).rglob("*.py"))]
SHIPPED = [*PACKAGES, ROOT / "generate_feedback.py", *sorted((ROOT / "scripts").glob("*.py"))]
OURS = [*SHIPPED, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]
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


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports. A package is imported by its name alone only where nothing inside is."""
    known = {module(path) for path in PACKAGES}
    found: dict[str, set[str]] = {}
    for path in PACKAGES:
        names = {name for _, name in imports(tree(path))} & known - {module(path)}
        found[module(path)] = {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
    return found


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def place(name: str) -> tuple[int, int]:
    """Where a module stands: its package's place and its own within the package."""
    package, _, rest = name.partition(".")
    levels = ORDER[package]
    first = rest.partition(".")[0]
    level = next((i for i, group in enumerate(levels) if first in group), None)
    return [*ORDER].index(package), next(
        i for i, group in enumerate(levels) if REST in group
    ) if level is None else level


def against(edges: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Imports of something that stands higher than the importer."""
    return {(name, other) for name, others in edges.items() for other in others if place(other) > place(name)}


def test_imports_follow_the_order_of_packages_and_folders() -> None:
    entry = {"constitution.__main__", "evaluation.__main__", "training.__main__"}
    found = {edge for edge in against(graph()) if edge[0] not in entry}
    assert found == AGAINST


@pytest.mark.parametrize(
    ("name", "other", "refused"),
    [
        ("critics.compare", "generation.engines.base", True),
        ("generation.engines.vllm", "generation.models.files", True),
        ("generation.models.files", "generation.engines.vllm", False),
        ("critics.text.flags", "critics.transcript", False),
        ("critics.text.flags", "critics.compare", True),
        ("training.loop.loop", "evaluation.policy.result", False),
    ],
)
def test_the_order_refuses_an_import_of_what_stands_higher(name: str, other: str, refused: bool) -> None:
    assert bool(against({name: {other}})) is refused


def test_the_order_names_only_what_is_there() -> None:
    planned = {"cluster", "verify", "statistics"}
    named = {(package, one) for package, levels in ORDER.items() for level in levels for one in level if one != REST}
    there = {
        (package, path.stem) for package in ORDER for path in (ROOT / package).glob("*") if path.suffix in ("", ".py")
    }
    assert {f"{package}.{name}" for package, name in named - there if name not in planned} == set()


def test_modules_do_not_import_in_a_circle() -> None:
    list(TopologicalSorter(graph()).static_order())


def test_functions_import_nothing_of_ours() -> None:
    found = {
        f"{label(path)}:{line}: {name}"
        for path in ALL
        for function in functions(path)
        for line, name in imports(function)
        if name.split(".")[0] in FIRST_PARTY
    }
    assert found == set()


def test_types_are_imported_like_everything_else() -> None:
    named = {path: {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(tree(path))} for path in OURS}
    assert [label(path) for path, names in named.items() if "TYPE_CHECKING" in names] == []


def test_a_file_says_what_it_is() -> None:
    assert [label(path) for path in OURS if not ast.get_docstring(tree(path))] == []


def test_nothing_is_left_unfinished() -> None:
    mark = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b")
    assert [label(path) for path in OURS if mark.search(path.read_text(encoding="utf-8"))] == []


def test_no_file_is_long() -> None:
    assert {label(path): lines(path) for path in ALL if lines(path) > FILE_CAP} == {}


def test_the_median_file_is_short() -> None:
    assert statistics.median(map(lines, SHIPPED)) <= FILE_MEDIAN


def test_functions_are_short() -> None:
    sizes = {
        f"{label(path)}: {f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for path in OURS for f in functions(path)
    }
    assert {name: size for name, size in sizes.items() if size >= FUNCTION_CAP} == {}


def folders() -> dict[str, list[str]]:
    """Folder -> the modules in it, without `__init__` and `__main__`."""
    found = defaultdict(list)
    for path in PACKAGES:
        if not path.stem.startswith("__"):
            found[label(path.parent)].append(path.stem)
    return found


def test_no_folder_is_a_corridor() -> None:
    assert {folder: len(names) for folder, names in folders().items() if len(names) > FOLDER_CAP} == {}


def test_files_of_a_folder_share_no_prefix() -> None:
    """A prefix that two names share is a folder that is missing."""
    shared = {}
    for folder, names in folders().items():
        prefixes = Counter(name.partition("_")[0] for name in names)
        if found := sorted(name for name in names if prefixes[name.partition("_")[0]] > 1):
            shared[folder] = found
    assert shared == {}
