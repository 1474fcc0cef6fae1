"""Break lines of the code, one at a time, and say what share of the breakages the tests notice.

    .venv/bin/python scripts/mutate.py --sample 60 --seed 1 --out mutations.jsonl

Works on a copy of the last commit. The sample is uniform over all places of the packages that can be broken, and follows
from the seed. For each, the tests of its module run: first its own test file, then those that import it and those of its
folder, and with `--wide` those of the modules that import it, and with `--models` the first of these that load a model. A
breakage is noticed when one of them fails, and passes without it; where they do not end in time it counts as not noticed.
Each run of tests is a process that is forked where the large libraries are imported already; what is not broken is compiled
once, and pictures are left blank. The same command again resumes with what is left; `--most` ends it earlier.
Exit code 0, or 1 where `--least` is not reached.

Many of those that survive do so rightly: no caller can see a shorter sleep or a larger chunk. Read them.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("constitution", "critics", "generation", "evaluation", "training", "studio", "solon")
_TURNED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
}
_OPPOSITE: dict[type[ast.AST], type[ast.AST]] = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
"""Of comparisons with a number that has a fraction: what is measured is hardly ever that very number."""
TOLERANCE = 1e-6
"""Smaller numbers keep a division or a comparison safe; no test can tell twice as much from as much."""
UNFINISHED = "unfinished"
FAST, MODEL = "not model", "model"
"""Of the tests, as pytest's `-m` names them."""
HANGS = 100
"""Seconds after which a single test has failed: many a breakage is a loop without an end."""
_FORKS = multiprocessing.get_context("forkserver")
_LIBRARIES = [
    "accelerate", "aiohttp", "datasets", "jinja2", "matplotlib.figure", "numpy", "pandas", "pyarrow.parquet", "pydantic",
    "rich.table", "scipy.optimize", "tokenizers", "torch", "transformers.modeling_utils", "transformers.trainer", "yaml",
]  # fmt: skip
"""What takes seconds to import, and is imported once."""
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}


_LOOKS = frozenset({
    "linewidth", "markersize", "height", "shrink", "alpha", "fontsize", "fill", "ensure_ascii", "indent", "soft_wrap",
    "refresh_per_second",
})  # fmt: skip
"""Arguments that change how a drawing or a file looks and nothing that it says."""
_ASSERTS = ("strict", True)
"""An argument of zip that is an assertion: it changes nothing that runs well."""

Record = dict[str, str | int | float | None]
"""What was seen of a breakage: `noticed_by` is the test that failed, or None; `unfinished`: the tests took too long to say."""


class Mutation(NamedTuple):
    """One breakage."""

    file: str
    line: int
    start: int
    """Offset of the text that is replaced, in bytes; `end` likewise."""
    end: int
    before: str
    after: str


def mutations(file: str, source: bytes) -> Iterator[Mutation]:
    """All ways to break a file, in the order of the text."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree = ast.parse(source)
    skipped = _not_run(tree)
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.expr | ast.stmt):
            continue
        start, end = (
            starts[node.lineno - 1] + node.col_offset,
            starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0),
        )
        before = source[start:end].decode()
        for after in _broken(node):
            yield Mutation(file, node.lineno, start, end, before, after)


def _not_run(tree: ast.AST) -> set[int]:
    """Nodes that no test can see broken: annotations, the options of dataclasses, the texts of help and errors, looks."""
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            roots += [node.returns] if node.returns else []
        elif isinstance(node, ast.ClassDef):
            roots += node.decorator_list
        elif isinstance(node, ast.arg | ast.AnnAssign):
            roots += [node.annotation] if node.annotation else []
        elif (
            isinstance(node, ast.JoinedStr)
            or _starts_the_program(node)
            or (
                isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant) and _unseen(node.arg, node.value)
            )
        ):
            roots.append(node)
    return {id(inner) for root in roots for inner in ast.walk(root)}


def _unseen(name: str | None, given: ast.Constant) -> bool:
    return name in _LOOKS or (name, given.value) == _ASSERTS


def _starts_the_program(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _broken(node: ast.AST) -> Iterator[str]:
    """What an expression or a statement is replaced by; nothing where it is left alone."""
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in _TURNED:
            turned = _OPPOSITE if type(operator) in _OPPOSITE and any(map(_has_fraction, (left, right))) else _TURNED
            yield f"({ast.unparse(ast.Compare(left, [turned[type(operator)]()], [right]))})"  # type: ignore[list-item]
        case ast.BoolOp(operator, values):
            yield f"({ast.unparse(ast.BoolOp(_TURNED[type(operator)](), values))})"  # type: ignore[arg-type]
        case ast.BinOp(left, operator, right) if type(operator) in _TURNED and not _text(left) and not _text(right):
            yield f"({ast.unparse(ast.BinOp(left, _TURNED[type(operator)](), right))})"  # type: ignore[arg-type]
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.Constant(bool(value)):
            yield str(not value)
        case ast.Constant(float(value)) if 0 < value < TOLERANCE:
            pass
        case ast.Constant(int(value) | float(value)):
            yield str(value + 1) if isinstance(value, int) else str(value * 2 or 1.0)
        case ast.Call(ast.Name(name), [_, *_]) if name in _SWAPPED:
            yield ast.unparse(ast.Call(ast.Name(_SWAPPED[name]), node.args, node.keywords))
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"
        case ast.Expr(ast.Call() | ast.Await()) | ast.AugAssign():
            yield "pass"
        case ast.Return(ast.expr() as value) if not isinstance(value, ast.Constant | ast.Name):
            yield "return None"


def _has_fraction(node: ast.AST) -> bool:
    numbers = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return any(isinstance(value, float) and not value.is_integer() for value in numbers)


def _text(node: ast.AST) -> bool:
    """Whether an operand is text, also by the name of a constant: joining texts or paths otherwise fails everywhere at once."""
    if isinstance(node, ast.Name | ast.Attribute):
        return ast.unparse(node).rpartition(".")[2].isupper()
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def everything(root: Path) -> list[Mutation]:
    """Every breakage of the packages under a folder."""
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    files += [path for path in (root / "generate_feedback.py",) if path.exists()]
    return [each for path in files for each in mutations(path.relative_to(root).as_posix(), path.read_bytes())]


def choose_tests(root: Path, file: str) -> tuple[list[str], list[str]]:
    """A module's own test files; and those that import it, then those of its folder."""
    path = Path(file)
    folder = Path("tests") / path.parent
    own = sorted((root / folder).glob(f"test_{path.stem}*.py"))
    importers = _importing(path, sorted((root / "tests").rglob("test_*.py")))
    while not (neighbors := sorted((root / folder).glob("test_*.py"))) and folder.name:
        folder = folder.parent  # what has no tests of its own is tested by those of the folder above
    others = dict.fromkeys([*importers, *neighbors])
    return _names(root, own), _names(root, [each for each in others if each not in own])


def tests_further_away(root: Path, file: str) -> list[str]:
    """The test files of the modules that import it, and those that import these, without what `choose_tests` gives."""
    modules = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    found: dict[str, None] = {}
    for user in _importing(Path(file), modules):
        for tests in choose_tests(root, user.relative_to(root).as_posix()):
            found |= dict.fromkeys(tests)
    near = {test for tests in choose_tests(root, file) for test in tests}
    return [test for test in found if test not in near]


def _importing(path: Path, files: list[Path]) -> list[Path]:
    """The files that import a module."""
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    parent, _, name = module.rpartition(".")
    imports = re.compile(
        rf"^(from|import) {re.escape(module)}\b|^from {re.escape(parent)} import .*\b{name}\b", re.MULTILINE
    )
    return [each for each in files if imports.search(each.read_text(encoding="utf-8"))]


def _names(root: Path, paths: list[Path]) -> list[str]:
    return [each.relative_to(root).as_posix() for each in paths]


def first_failure(root: Path, tests: list[str], which: str, limit: float, pictures: bool = False) -> str | None:
    """The first test that fails, UNFINISHED where they do not end in `limit` seconds, or None where all pass.

    which: of the tests, as pytest's `-m` has it. pictures: draw them.
    """
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-n0", "-o", f"timeout={HANGS}", "-m", which]
    with tempfile.TemporaryDirectory() as place:
        printed = Path(place) / "printed"
        process = _FORKS.Process(target=_run, args=(root, [*options, *tests], printed, pictures))
        process.start()
        process.join(limit)
        if process.is_alive():
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            return UNFINISHED
        if process.exitcode in (0, 5):  # 5: no test was chosen
            return None
        out = printed.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", out, re.MULTILINE)
    return found[1] if found else (out.strip().splitlines() or [f"ended with {process.exitcode}"])[-1]


def compile_all(root: Path) -> None:
    """Leave what is compiled of the code and the tests beside them: each run would compile all of it again."""
    process = _FORKS.Process(target=_run, args=(root, ["--collect-only", "-q", "-n0"], root / "collected", False, True))
    process.start()
    process.join()


def _run(root: Path, arguments: list[str], printed: Path, pictures: bool = False, compiles: bool = False) -> None:
    """Run pytest in this process, which is one of its own. pictures: draw them. compiles: keep what it compiles."""
    os.setsid()  # a test's children end with it
    os.chdir(root)
    for number, path in ((0, os.devnull), (1, printed), (2, printed)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "" if compiles else "1"}
    sys.dont_write_bytecode = not compiles
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]  # the code that is run is the folder's
    sys.path[:] = [str(root), *(path for path in sys.path if path not in ("", str(ROOT), str(ROOT / "scripts")))]
    if not pictures and (root / "tests" / "drawn.py").exists():
        importlib.import_module("tests.drawn").leave_out()
    code = importlib.import_module("pytest").main(arguments)
    sys.stdout.flush()
    os._exit(int(code))


def attempt(root: Path, mutation: Mutation, models: bool, limit: float, wide: bool = False) -> Record:
    """Break one place, run its tests, mend it; the record of what was seen."""
    path = root / mutation.file
    source, times = path.read_bytes(), path.stat()
    own, others = choose_tests(root, mutation.file)
    further = tests_further_away(root, mutation.file) if wide else []
    groups = [(own, FAST), (others, FAST), (further, FAST)]
    groups += [(own, MODEL), (others, MODEL)] if models else []
    pictures = mutation.file.startswith("evaluation/pages/")
    begun = time.monotonic()
    path.write_bytes(source[: mutation.start] + mutation.after.encode() + source[mutation.end :])
    try:
        failures = (first_failure(root, tests, which, limit, pictures) for tests, which in groups if tests)
        noticed = next((failure for failure in failures if failure), None)
    finally:
        path.write_bytes(source)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # what is compiled of it holds again
    return {
        "file": mutation.file,
        "line": mutation.line,
        "before": mutation.before,
        "after": mutation.after,
        "noticed_by": None if noticed == UNFINISHED else noticed,
        "unfinished": noticed == UNFINISHED,
        "test_files": len({test for tests, _ in groups for test in tests}),
        "seconds": round(time.monotonic() - begun, 1),
    }


def failing_anyway(root: Path, records: list[Record], limit: float) -> set[str]:
    """Of the tests that noticed breakages, those that fail without one as well: they noticed nothing."""
    tests = {str(each["noticed_by"]) for each in records if "::" in str(each["noticed_by"])}
    out = set()
    while tests and (failed := first_failure(root, sorted(tests), f"{FAST} or {MODEL}", limit)):
        out.add(failed)
        tests.discard(failed)
    return out


def copy_of(commit: str, folder: Path) -> None:
    """Lay a commit's files into a folder."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def write(out: Path, records: list[Record]) -> None:
    """Write what was seen so far, a line each."""
    out.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def show(records: list[Record]) -> float:
    """Print the share that was noticed, of each package and of all; returns the latter."""
    for package in [*PACKAGES, ""]:
        rows = [each for each in records if str(each["file"]).startswith(package)]
        if rows:
            noticed = sum(each["noticed_by"] is not None for each in rows)
            print(f"{package or 'all':14}{noticed:4} of {len(rows):4}  {noticed / len(rows):4.0%}")
    return sum(each["noticed_by"] is not None for each in records) / len(records)


def main() -> int:
    """Run a sample; returns the exit code."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--sample", type=int, default=60, metavar="N", help="breakages in the sample (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1, metavar="N", help="of the sample (default: %(default)s)")
    p.add_argument("--most", type=int, metavar="N", help="end after this many; the same command goes on with the rest")
    p.add_argument("--models", action="store_true", help="run tests that load a model, too")
    p.add_argument("--wide", action="store_true", help="run the tests of modules that import a broken one, too")
    p.add_argument(
        "--limit", type=float, default=400, metavar="SECONDS", help="for the tests of one (default: %(default)s)"
    )
    p.add_argument("--least", type=float, default=0, metavar="SHARE", help="exit with 1 if fewer are noticed")
    p.add_argument("--out", type=Path, default=Path("mutations.jsonl"), metavar="FILE", help="JSON lines, one for each")
    options = p.parse_args()
    out = options.out.resolve()
    os.environ["OMP_NUM_THREADS"] = "1"  # the models of tests are tiny
    _FORKS.set_forkserver_preload(_LIBRARIES)
    records = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    commit = records[0]["commit"] if records else commit
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        copy_of(commit, root)
        compile_all(root)
        places = everything(root)
        sample = random.Random(options.seed).sample(places, options.sample)
        print(f"{len(sample)} of {len(places)} breakages of {commit[:7]}, seed {options.seed}", flush=True)
        for mutation in sample[len(records) :][: options.most]:
            found = attempt(root, mutation, options.models, options.limit, options.wide)
            seen = {"commit": commit, "seed": options.seed, **found}
            records.append(seen)
            write(out, records)
            outcome = seen["noticed_by"] or ("UNFINISHED" if seen["unfinished"] else "SURVIVED")
            before, after = (" ".join(text.split())[:60] for text in (mutation.before, mutation.after))
            print(
                f"{mutation.file}:{mutation.line}  {before}  ->  {after}\n    {outcome} ({seen['seconds']} s)",
                flush=True,
            )
        for name in sorted(failing_anyway(root, records, options.limit)):
            print(f"fails without a breakage, and notices none: {name}")
            records = [{**each, "noticed_by": None} if each["noticed_by"] == name else each for each in records]
        write(out, records)
    return 0 if show(records) >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
