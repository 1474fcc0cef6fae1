"""Every regular expression of the packages takes steps in proportion to the text, whatever it is: counted, not timed."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
import regex

from critics.text.needed import Phrase, Phrases, squeezed
from tests.steps import Steps, TooManyError, repetitions

ROOT = Path(__file__).parents[2]
PACKAGES = ("constitution", "critics", "generation", "evaluation", "training", "studio", "solon")
FEW, MANY = 16, 64
"""Pieces of the two texts that are compared."""
SLACK = 1.3
"""How much more than in proportion steps may grow."""
MOST = 300_000
"""Steps of the shorter text."""
COMMON = (" ", "\n", "a")
OPENINGS = {
    "critics.text.refusal._REFUSAL": 300, "critics.text.refusal._DISCLAIMS": 300, "critics.text.refusal._LACKS": 300,
    "critics.text.tone._AGREEMENT": 160, "critics.text.tone._UNSURE": 20_000, "critics.text.tone._ASKS": 320,
    "critics.text.chat_marks._LAST": 200,
}  # fmt: skip
"""Patterns that see at most so many characters."""
ANCHORED = {"match", "fullmatch"}


class Pattern(NamedTuple):
    """A regular expression of ours."""

    place: str
    text: str
    flags: int
    anchored: bool
    """It is only tried at one place of a text."""
    squeezed: bool = False
    """It is only tried on texts whose runs of white space are single characters."""


def used(tree: ast.Module) -> dict[str, set[str]]:
    """Name -> the methods that the module calls on it."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
    return found


def patterns() -> Iterator[Pattern]:
    """Those that modules keep, and those that stand where they are used."""
    for path in sorted(chain.from_iterable((ROOT / package).rglob("*.py") for package in PACKAGES)):
        source = path.read_text(encoding="utf-8")
        if not re.search(r"\bre(?:gex)?\.\w+\(|phrases|Phrase|re\.Pattern", source):
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(source)
        methods = used(tree)
        for attribute, value in vars(importlib.import_module(name)).items():
            for one in kept(value):
                anchored = methods.get(attribute, {"search"}) <= ANCHORED
                yield Pattern(f"{name}.{attribute}", one.pattern, one.flags, anchored, isinstance(value, Phrases))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
            ):
                first = node.args[0] if node.args else None
                if (
                    node.func.value.id in ("re", "regex")
                    and node.func.attr != "compile"
                    and isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                ):
                    yield Pattern(f"{name}:{node.lineno}", first.value, 0, node.func.attr in ANCHORED)


def kept(value: object) -> Iterator[re.Pattern[str]]:
    """The patterns in a module's variable."""
    if isinstance(value, (re.Pattern, regex.Pattern)) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, Phrases):
        yield from (phrase.compiled for phrase in value.all)
    elif isinstance(value, Phrase):
        yield value.compiled
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(kept, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from chain.from_iterable(map(kept, value))


def standard(pattern: Pattern) -> tuple[str, int]:
    """The pattern in the standard library's syntax, with sets of its own for properties of characters, which cost the same."""
    text = re.sub(r"\\p\{(L|N|M|Han|Hiragana|Katakana|Thai|Lao|Khmer|Myanmar)\}", r"\\w", pattern.text)
    text = re.sub(r"\\[pP]\{\w+\}", "\u200b", text).replace("--", "")
    flags = pattern.flags & (re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE)
    return text, flags


def grows(pattern: Pattern) -> str:
    """The text on which steps grow faster than it; empty where there is none."""
    text, flags = standard(pattern)
    found, whole = repetitions(text, flags)
    if not found:
        return ""
    steps = Steps(text, flags)
    pairs = {("", piece) for piece in (*COMMON, whole)}
    for before, body in found:
        pairs |= {("", body), (before, body), ("", before), ("", before + body), (before, "\n"), (before, " ")}
    for head, piece in sorted(pairs):
        if piece and not proportional(steps, head, piece, pattern):
            return f"{head!r} + {piece!r} * n"
    return ""


def proportional(steps: Steps, head: str, piece: str, pattern: Pattern) -> bool:
    """Whether steps grow as the text."""
    short, long = (head + piece * n + "\x00" for n in (FEW, MANY))
    if pattern.squeezed:
        short, long = squeezed(short), squeezed(long)
    try:
        first = steps.count(short, [0] if pattern.anchored else [*range(len(short) + 1)], MOST)
        allowed = int(SLACK * max(first, len(short)) * MANY / FEW) + 100
        steps.count(long, [0] if pattern.anchored else [*range(len(long) + 1)], allowed)
    except TooManyError:
        return False
    return True


@pytest.fixture(autouse=True)
def _depth() -> Iterator[None]:
    """A step of the matcher is a few frames."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("pattern", "linear"),
    [
        (r"\s*a", False), (r"<.*?>", False), (r"(?:a+)+b", False), (r"\s*\s*a", False), (r"(\w+\s?)*!", False), (r"[.!]+(?=\s)", False),
        (r"\A\s*+a", True), (r"(?<!\s)\s*+a", True), (r"<.*?(?:>|\Z)", True), (r"a{0,80}b", True), (r"\ba\w{0,9}b", True), (r"[a-z]+", True),
    ],
)  # fmt: skip
def test_growth_of_steps_is_seen(pattern: str, linear: bool) -> None:
    assert bool(grows(Pattern("here", pattern, re.DOTALL, False))) != linear


@pytest.mark.model
def test_no_pattern_takes_more_steps_than_in_proportion_to_the_text() -> None:
    found = {(pattern.text, pattern.flags, pattern.anchored): pattern for pattern in patterns()}
    assert len(found) > 100
    grown = {
        pattern.place: where
        for pattern in found.values()
        if pattern.place not in OPENINGS and (where := grows(pattern))
    }
    assert grown == {}
    assert {*OPENINGS} <= {pattern.place for pattern in found.values()}
