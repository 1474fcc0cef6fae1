"""Rankings whose responses call tools are learnt with their calls."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from constitution.errors import UserError
from generation.output.exports.rankings import ranking_rows, rating_rows
from generation.output.run import open_run
from tests.calling import call, calling_run, rule
from training.data.ranked import of_run, ranked

RULES = (rule("calling", tool_calls="required"), rule("short", 0.5, max_words=2))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of two responses that call and say nothing or something, and of two that do not call."""
    responses = [
        {"role": "assistant", "content": "", "tool_calls": [call("sky"), call("sea")]},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call("sky")]},
        "No.",
        "I would rather not say.",
    ]
    return calling_run(tmp_path, RULES, responses)


def test_a_run_is_ranked_with_its_calls(run: Path) -> None:
    rows = [ranked(raw.row, Counter()) for raw in of_run(run, None)]
    assert len(rows) == 3
    for row in rows:
        said = [[(c.function.name, c.function.arguments) for c in message.tool_calls] for (message,) in row.responses]
        assert said == [[("look", {"at": "sky"}), ("look", {"at": "sea"})], [("look", {"at": "sky"})], [], []]
        assert [message.content for (message,) in row.responses] == [
            "",
            "Let me look.",
            "No.",
            "I would rather not say.",
        ]


def test_exports_have_calls_where_there_are_any(run: Path) -> None:
    for row in ranking_rows(open_run(run)):
        assert [len(one.get("tool_calls", ())) for one in row["responses"]] == [2, 1, 0, 0]
        assert json.loads(json.dumps(row)) == row
    counted = [len(row.get("tool_calls", ())) for row in rating_rows(open_run(run))]
    assert sorted(counted) == [0] * 6 + [1] * 3 + [2] * 3


@pytest.mark.parametrize("calls", ["look", [{"function": {}}], [{"type": "function", "function": {"name": 7}}]])
def test_calls_that_are_none_are_refused(calls: Any) -> None:
    row = {"prompt": "Why?", "responses": [{"text": "", "tool_calls": calls, "rank": 1}, {"text": "no", "rank": 2}]}
    with pytest.raises(UserError, match="tool_calls"):
        ranked(row, Counter())
