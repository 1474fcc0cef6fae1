"""Rows of labelled pairs: what is read of them, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from constitution.errors import Problem, UserError
from generation.data.pairs import PairReader, PairRow

PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def read(folder: Path, *rows: Any, given: tuple[str, ...] = ()) -> tuple[list[PairRow | Problem], list[str]]:
    """(rows, notes without the file's name) of a file."""
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = PairReader(str(path), given)
    return list(reader.rows()), [note.removeprefix(f"{path}: ") for note in reader.notes()]


def test_a_pair_is_read_with_all_that_it_has(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    whole = {**PAIR, "system": "Be kind.", "id": "x", "subset": "easy", "tags": ["sky", "blue"], "tools": [tool]}
    (found,), notes = read(tmp_path, whole)
    assert isinstance(found, PairRow)
    assert [(m.role, m.content) for m in found.before] == [("system", "Be kind."), ("user", "Why?")]
    assert [(m.role, m.content) for m in (found.chosen, found.rejected)] == [
        ("assistant", "Because."),
        ("assistant", "No."),
    ]
    assert (found.id, found.subset, found.tags, found.tools) == ("x", "easy", ("sky", "blue"), (tool,))
    assert found.place == f"{tmp_path}/pairs.jsonl:1"
    assert notes == []


def test_columns_without_a_value_are_as_absent(tmp_path: Path) -> None:
    (found, bare), _ = read(tmp_path, {**PAIR, "id": None, "subset": None, "tags": None, "system": None}, PAIR)
    assert isinstance(found, PairRow)
    assert isinstance(bare, PairRow)
    assert found[1:] == bare[1:]
    assert (found.id, found.subset, found.tags, found.tools) == (None, "", (), ())


def test_a_long_id_is_cut(tmp_path: Path) -> None:
    (found,), _ = read(tmp_path, {**PAIR, "id": "x" * 300})
    assert isinstance(found, PairRow)
    assert found.id == "x" * 200


@pytest.mark.parametrize(
    ("row", "key", "words"),
    [
        pytest.param({**PAIR, "rejected": "Because."}, "", "chosen and rejected are equal", id="equal"),
        pytest.param({"prompt": "Why?", "chosen": "Because."}, "rejected", "is missing", id="missing"),
        pytest.param({**{k: PAIR[k] for k in ("prompt", "chosen")}, "rejectd": "No."}, "rejected", "did you mean", id="misspelt"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_told_and_the_others_are_read(
    row: dict[str, Any], key: str, words: str, tmp_path: Path
) -> None:
    (first, bad, last), _ = read(tmp_path, PAIR, row, PAIR)
    assert isinstance(first, PairRow)
    assert isinstance(last, PairRow)
    assert isinstance(bad, Problem)
    assert bad.place == f"{tmp_path}/pairs.jsonl:2"
    assert bad.key == key
    assert words in str(bad)


def test_columns_that_nothing_reads_are_told_once(tmp_path: Path) -> None:
    _, notes = read(tmp_path, {**PAIR, "score": 3}, {**PAIR, "score": 4, "annotator": "a"})
    assert notes == ["columns not read: annotator, score"]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    row = {"question": "Why?", "chosen": "Because.", "rejected": "No."}
    (found,), notes = read(tmp_path, row, given=("prompt=question",))
    assert isinstance(found, PairRow)
    assert found.before[0].content == "Why?"
    assert notes == []
    with pytest.raises(UserError, match="quest"):
        read(tmp_path, row, given=("prompt=quest",))
