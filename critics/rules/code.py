"""Whether the fenced blocks of a response are code that parses. Nothing of it is run."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable, Mapping

import yaml

from constitution.checks.check import Parses
from constitution.terminal import quietly
from critics.text.sentences import fenced_blocks

MAX_CHARACTERS = 50_000
"""Of one block."""
_NAMES: Mapping[Parses, frozenset[str]] = {
    "python": frozenset(("python", "py", "python3")),
    "json": frozenset(("json",)),
    "yaml": frozenset(("yaml", "yml")),
    "toml": frozenset(("toml",)),
}


def unparsed(language: Parses, text: str) -> str | None:
    """Why a block of that language is none; None where all parse, or where there is none.

    Where no block has the language's name, those without a name count.
    """
    for number, code in enumerate(blocks_of(language, text), 1):
        if len(code) > MAX_CHARACTERS:
            return f"block {number} is longer than {MAX_CHARACTERS:,} characters"
        try:
            with quietly():
                _READS[language](code)
        except (ValueError, SyntaxError, yaml.YAMLError, RecursionError, MemoryError) as error:
            return f"block {number} is no {language} ({type(error).__name__}{_line(error)})"
    return None


def blocks_of(language: Parses, text: str) -> list[str]:
    """The code of the fenced blocks of that language, or of those without a name where no block has the language's."""
    blocks = fenced_blocks(text)
    named = [block.code for block in blocks if block.name in _NAMES[language]]
    return named or [block.code for block in blocks if not block.name]


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else getattr(error, "lineno", None)
    return f" at line {line}" if line else ""


_READS: Mapping[Parses, Callable[[str], object]] = {
    "python": ast.parse,
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
}
