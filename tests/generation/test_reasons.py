"""Every reason that the code gives has words."""

import ast
from pathlib import Path

import pytest

from critics import labels
from critics.answers import UNREAD
from generation.engines.base import ErrorReason
from generation.reasons import REASONS, advice, told

ROOT = Path(__file__).parents[2]
MAKERS = {"Failure": 2, "Dropped": 2, "BadRow": 0, "named": 0, "_dropped": 2}
"""Callable -> which argument is the reason."""


def given() -> set[str]:
    """Reasons that stand as texts where records are made."""
    found = set()
    for path in (path for package in ("critics", "generation") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                place = MAKERS.get(name, -1)
                if 0 <= place < len(node.args):
                    found |= {one.value for one in ast.walk(node.args[place]) if isinstance(one, ast.Constant)}
    return {one for one in found if isinstance(one, str) and one}


def test_every_reason_has_words() -> None:
    known = given()
    assert {"bad_row", "tie", "empty", "rule_error", "malformed_tool_call"} <= known
    known |= {str(reason) for reason in ErrorReason} | {labels.MISSING, labels.NOT_FINITE, labels.OFF_MENU, UNREAD}
    assert sorted(known - set(REASONS)) == []


@pytest.mark.parametrize(
    ("reason", "words", "wanted"),
    [
        ("sample: empty", "sample: the model wrote nothing", "`--forget failed` asks again"),
        ("pairs: tie", "pairs: the votes are as much for one as for the other", ""),
        ("tie", "the votes are as much for one as for the other", ""),
        ("pairs: unheard_of", "pairs: unheard_of", ""),
    ],
)
def test_reasons_are_told_with_their_stage(reason: str, words: str, wanted: str) -> None:
    assert (told(reason), advice(reason)) == (words, wanted)
