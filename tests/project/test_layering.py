"""The order of packages and folders, and the size of their parts, read from the source. One test a rule; it lists every offender."""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter
from graphlib import TopologicalSorter

import pytest

from scripts.structure import (
    ALL,
    FILE_CAP,
    FILE_MEDIAN,
    FIRST_PARTY,
    FOLDER_CAP,
    FUNCTION_CAP,
    ORDER,
    OURS,
    REST,
    ROOT,
    SHIPPED,
    against,
    folders,
    functions,
    graph,
    imports,
    label,
    lines,
    tree,
)  # fmt: skip


def test_imports_follow_the_order_of_packages_and_folders() -> None:
    assert against(graph()) == set()


@pytest.mark.parametrize(
    ("name", "other", "refused"),
    [
        ("critics.compare", "generation.engines.base", True),
        ("generation.engines.vllm", "generation.models.files", True),
        ("generation.models.files", "generation.engines.vllm", False),
        ("critics.text.manipulation", "critics.transcript", False),
        ("critics.text.manipulation", "critics.compare", True),
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


INDENTED = re.compile(rf"^[ \t].*\b(?:from|import)\s+(?:{'|'.join(FIRST_PARTY)})\b", re.MULTILINE)


def test_functions_import_nothing_of_ours() -> None:
    found = set()
    for path in ALL:
        if not INDENTED.search(path.read_text(encoding="utf-8")):
            continue  # to parse them all takes seconds
        inside = {line for f in functions(path) for line in range(f.lineno, (f.end_lineno or f.lineno) + 1)}
        for line, name in imports(path):
            if line in inside and name.split(".")[0] in FIRST_PARTY:
                found.add(f"{label(path)}:{line}: {name}")
    assert found == set()


def test_types_are_imported_like_everything_else() -> None:
    assert [label(path) for path in OURS if "TYPE_CHECKING" in path.read_text(encoding="utf-8")] == []


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
