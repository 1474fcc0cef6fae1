"""Labelled pairs in the forms of many makers, and rows that are no pairs."""

import json
from pathlib import Path
from typing import Any

import pytest

from constitution.errors import UserError
from constitution.records import Message
from evaluation.judge.labelled import read_labelled
from generation.data.record import MAX_CELL, MAX_ROW

GOOD = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_that_are_no_pairs_are_named(tmp_path: Path) -> None:
    rows = [
        GOOD, GOOD | {"prompt": ""}, GOOD | {"prompt": []}, GOOD | {"chosen": "a" * MAX_CELL}, GOOD | {"chosen": "a" * MAX_ROW},
        GOOD | {"rejected": None}, GOOD | {"rejected": " "}, GOOD | {"rejected": " So. "}, GOOD | {"chosen": [user("So.")]},
        {"prompt": "Why?", "chosen": "So."},
    ]  # fmt: skip
    path = write(tmp_path, *rows)
    pairs, problems = read_labelled(path)
    assert [pair.id for pair in pairs] == ["row-1"]
    assert [str(problem) for problem in problems] == [
        f"{path}:2: prompt: nobody says anything; allowed: a text, or messages that say something",
        f"{path}:3: prompt: nobody says anything; allowed: a text, or messages that say something",
        f"{path}:4: has 1,048,603 characters; allowed: 1,048,576 a row; shorten it or leave it out",
        f"{path}:5: is over 8,388,608 bytes; allowed: 8,388,608 a row; shorten it or leave it out",
        f"{path}:6: rejected: is null; allowed: an assistant's response that is not empty",
        f"{path}:7: rejected: is empty; allowed: an assistant's response that is not empty",
        f"{path}:8: chosen and rejected are equal; allowed: two different responses",
        f"{path}:9: chosen: got role 'user'; allowed: an assistant's response that is not empty",
        f"{path}:10: rejected: is missing; each row needs prompt, chosen and rejected",
    ]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(GOOD, id="text"),
        pytest.param({"prompt": [user("Why?")], "chosen": [assistant("So.")], "rejected": [assistant("No.")]}, id="messages"),
        pytest.param({"chosen": [user("Why?"), assistant("So.")], "rejected": [user("Why?"), assistant("No.")]}, id="implicit"),
        pytest.param(
            {"prompt": "Why?", "chosen": [user("Why?"), assistant("So.")], "rejected": [user("Why?"), assistant("No.")]},
            id="prompt-beside-conversations",
        ),
        pytest.param(
            {"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."}, id="dialogue"
        ),
        pytest.param({"prompt": "\n\nHuman: Why?\n\nAssistant:", "chosen": "So.", "rejected": "No."}, id="dialogue-in-prompt"),
        pytest.param({**GOOD, "chosen": str([assistant("So.")]), "tags": None, "subset": None}, id="python-repr-and-nulls"),
    ],
)  # fmt: skip
def test_pairs_in_every_form(row: dict[str, Any], tmp_path: Path) -> None:
    ((pair,), problems) = read_labelled(write(tmp_path, row))
    assert problems == ()
    assert pair.prompt.messages == (Message(role="user", content="Why?"),)
    assert (pair.better.text, pair.worse.text) == ("So.", "No.")


def test_names_are_kept_and_made_unique(tmp_path: Path) -> None:
    path = write(tmp_path, *({**GOOD, "id": name, "subset": 3} for name in (0, 1.0, "1", "", None)))
    pairs, _ = read_labelled(path)
    assert [pair.id for pair in pairs] == ["0", "1", "1-3", "", "row-5"]
    assert {pair.subset for pair in pairs} == {"3"}


def test_columns_of_other_names_and_what_is_not_read_is_told(tmp_path: Path) -> None:
    rows = [{"question": "Why?", "better": "So.", "worse": "No.", "extra": 1}, {"question": "Why?"}]
    said: list[str] = []
    mapped = ["prompt=question", "chosen=better,rejected=worse"]
    path = write(tmp_path, *rows)
    assert len(read_labelled(path, columns=mapped, tell=said.append)[0]) == 1
    assert said == [
        f"{path}: 1 rows are no labelled pairs, as:",
        f"  {path}:2: chosen: is missing; each row needs prompt, chosen and rejected",
        f"{path}: columns not read: extra",
    ]
    with pytest.raises(UserError, match=r"--map prompt=quesion: .* has no column quesion \(did you mean question\?\)"):
        read_labelled(path, columns=["prompt=quesion", *mapped[1:]])
    with pytest.raises(
        UserError, match=r"--map promt=question: got the field 'promt' \(did you mean prompt\?\); allowed: "
    ):
        read_labelled(path, columns=["promt=question"])


def test_columns_that_rules_read_come_with_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "answer": 2, "from": "me"}\n')
    told: list[str] = []
    (pair,), _ = read_labelled(path, tell=told.append, rules=["answer"])
    assert pair.prompt.metadata == '{"answer": 2}'
    assert told == [f"{path}: columns not read: from"]
