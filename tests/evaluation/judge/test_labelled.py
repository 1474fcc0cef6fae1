"""Rows of a labelled file that are no pairs."""

import json
from pathlib import Path

from evaluation.judge.labelled import MOST_CHARACTERS, read_labelled


def test_empty_prompts_and_huge_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    good = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    rows = [good, good | {"prompt": ""}, good | {"prompt": []}, good | {"chosen": "a" * MOST_CHARACTERS}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs, problems = read_labelled(path)
    assert [pair.id for pair in pairs] == ["row-1"]
    assert [str(problem) for problem in problems] == [
        f"{path}:2: prompt: got no text; allowed: text, or one message or more; say what was asked",
        f"{path}:3: prompt: got no messages; allowed: text, or one message or more; say what was asked",
        f"{path}:4: has 1,048,628 characters; allowed: 1,048,576 a row; shorten its texts or leave it out",
    ]
