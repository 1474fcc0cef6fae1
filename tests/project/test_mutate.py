"""Breakages of the code: which there are, whose tests run, and what is said of them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.mutate import attempt, choose_tests, everything, failing_anyway, mutations

pytestmark = pytest.mark.model

MODULE = '''"""A module."""


def least(values: list[int], strict: bool = False) -> int:
    """The smallest; `-1` where there is none."""
    if not values and strict:
        raise ValueError(f"{len(values)} values")
    return min(values) if len(values) > 0 else -1
'''
TEST = """from constitution.small import least


def test_least() -> None:
    assert least([2, 1]) == 1
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["(a <= b)"]),
        ("x = a < 0.5", ["(a >= 0.5)", "1.0"]),
        ("x = a > 0.0", ["(a >= 0.0)", "1.0"]),
        ("x = a and b", ["(a or b)"]),
        ("x = a + 2", ["(a - 2)", "3"]),
        ("x = not a", ["(a)"]),
        ("x = True", ["False"]),
        ("x = 0.5", ["1.0"]),
        ("x = max(a, 1e-12)", ["min(a, 1e-12)"]),
        ("x = min(a, b)", ["max(a, b)"]),
        ("f(a)", ["pass"]),
        ("def f():\n    return g(a)", ["return None"]),
        ("for i in x:\n    break", ["continue"]),
        ("x: Literal[1] = a", []),
        ("@dataclass(frozen=True)\nclass X:\n    a = b", []),
        ("x = 'a' + b", []),
        ("x = folder / NAME", []),
        ("x = f'{a + 1}'", []),
        ("x = draw(linewidth=1.4)", []),
        ("if __name__ == '__main__':\n    f(1)", []),
    ],
)
def test_what_is_broken_and_what_is_left_alone(source: str, expected: list[str]) -> None:
    found = list(mutations("x.py", source.encode()))
    assert sorted(each.after for each in found) == sorted(expected)
    for each in found:
        broken = source.encode()[: each.start] + each.after.encode() + source.encode()[each.end :]
        assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse(source))


def test_places_are_found_after_letters_of_several_bytes() -> None:
    (found,) = mutations("x.py", "name = 'Überprüfung'; x = a < b\n".encode())
    assert found.before == "a < b"


def project(root: Path) -> Path:
    for name, text in (("constitution/small.py", MODULE), ("tests/constitution/test_small.py", TEST)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "tests" / "constitution" / "test_other.py").write_text(
        "def test_fails_anyway() -> None:\n    assert False\n"
    )
    (root / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\npythonpath = .\nmarkers = model\n")
    return root


def test_a_breakage_is_noticed_by_the_modules_own_tests_first(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert choose_tests(root, "constitution/small.py") == (
        ["tests/constitution/test_small.py"],
        ["tests/constitution/test_other.py"],
    )
    own, above = choose_tests(root, "constitution/deep/down.py")
    assert (own, above) == ([], ["tests/constitution/test_other.py", "tests/constitution/test_small.py"])
    places = {each.before: each for each in everything(root)}
    seen = attempt(root, places["min(values)"], models=False, limit=100)
    assert seen["noticed_by"] == "tests/constitution/test_small.py::test_least"
    assert (root / "constitution/small.py").read_text() == MODULE
    by_chance = attempt(root, places["False"], models=False, limit=100)
    assert by_chance["noticed_by"] == "tests/constitution/test_other.py::test_fails_anyway"
    assert failing_anyway(root, [seen, by_chance], limit=100) == {by_chance["noticed_by"]}


def test_a_sample_follows_from_its_seed(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "constitution", tmp_path / "constitution")
    code = "import random; from pathlib import Path; from scripts.mutate import *; "
    code += f"print([(m.file, m.start) for m in random.Random(5).sample(everything(Path({str(tmp_path)!r})), 20)])"
    one, two = (
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True).stdout for _ in "ab"
    )
    assert one == two != b""
