"""What the source says of its own structure: the order of packages and folders, imports, sizes.

    python -m scripts.structure

prints modules per folder, lengths, import edges and imports against the order. `tests/project/test_layering.py` holds the rules.
"""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_CAP, FILE_MEDIAN, FUNCTION_CAP, FOLDER_CAP = 400, 150, 60, 15
"""Lines of the longest file, of the median one and of a function (fewer than that), and modules of a folder."""

REST = "."
"""Stands, in an order, for all modules and folders of the package that it does not name."""
ORDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "constitution": ((REST,),),
    "critics": (("templating", "transcript"), ("text",), ("rules",), (REST,), ("ranking",)),
    "generation": (
        ("data",), ("settings", "request", "reads", "reasons", "shard", "console", "placement", "scratch", "temporary", "tasks"),
        ("engines",),
        ("servers",), ("calls",),
        ("roles",), ("unread", "config"), ("models",), ("fitted",), ("output",), ("pipeline",), ("cluster",), (REST,),
    ),
    "evaluation": (
        ("statistics", "files", "sampling"), ("calibration", "texts"), ("pages",), ("risk",), ("probes",), ("judge",), ("review",),
        ("audit",), ("policy",), ("reasoning",), ("episodes",), ("attack",), ("verify",), ("principles",), ("diff",), (REST,),
    ),
    "training": (
        ("config",), ("monitor",), ("data",), ("model",), ("recipes",), ("run",), ("rollout",), ("ppo",), ("online",),
        ("best_of",), ("loop",), (REST,),
    ),
    "studio": (
        ("settings", "subject", "security"), ("data",), ("state", "plots"), ("editing",), ("pages", "bodies"), ("views",),
        (REST,),
    ),
    "solon": ((REST,),),
}  # fmt: skip
"""Packages, lowest first, and what is inside each, lowest first: an import goes from a higher one to a lower or equal one."""
ENTRY = {"constitution.__main__", "evaluation.__main__", "training.__main__", "solon.__main__"}
"""Programs, which may import whatever they start."""
FIRST_PARTY = {*ORDER, "generate_feedback", "benchmarks", "scripts", "examples"}
PACKAGES = [path for name in ORDER for path in sorted((ROOT / name).rglob("*.py"))]
SHIPPED = [*PACKAGES, ROOT / "generate_feedback.py", *sorted((ROOT / "scripts").glob("*.py"))]
OURS = [*SHIPPED, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]
ALL = [*OURS, *sorted((ROOT / "tests").rglob("*.py"))]


def label(path: Path) -> str:
    """A file's path from the root."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """Dotted name of a file's module; a package's name for its `__init__.py`."""
    return label(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def statements(path: Path) -> tuple[ast.stmt, ...]:
    """All statements of a file, those within others too. To walk through their expressions as well takes ten times as long."""
    found: list[ast.stmt] = []
    left: list[ast.AST] = [tree(path)]
    while left:
        one = left.pop()
        found += [one] if isinstance(one, ast.stmt) else []
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            left += getattr(one, name, ())
    return tuple(found)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports; of `from a import b` both a and a.b."""
    for part in statements(path):
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
        names = {name for _, name in imports(path)} & known - {module(path)}
        found[module(path)] = {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
    return found


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, nested ones too."""
    return (node for node in statements(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines(path: Path) -> int:
    """How long a file is."""
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
    return {
        (name, other)
        for name, others in edges.items()
        for other in others
        if place(other) > place(name) and name not in ENTRY
    }


def folders() -> dict[str, list[str]]:
    """Folder -> the modules in it, without `__init__` and `__main__`."""
    found = defaultdict(list)
    for path in PACKAGES:
        if not path.stem.startswith("__"):
            found[label(path.parent)].append(path.stem)
    return found


def main() -> None:
    """Print the figures."""
    sizes, modules, edges = {path: lines(path) for path in PACKAGES}, graph(), graph()
    widest = max(folders().items(), key=lambda item: len(item[1]))
    longest = max(sizes, key=lambda path: sizes[path])
    count = sum(map(len, edges.values()))
    print(f"modules {len(modules)} in {len(folders())} folders; most in one folder: {len(widest[1])} ({widest[0]})")
    print(f"lines: median file {statistics.median(sizes.values()):.0f}, longest {sizes[longest]} ({label(longest)})")
    print(f"import edges {count}, {count / len(modules):.1f} per module")
    print(f"imports against the order {len(against(edges))}")


if __name__ == "__main__":
    main()
