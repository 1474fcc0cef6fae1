"""Files that evaluations write: whole, in folders that are made, and as JSON that everybody reads."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from constitution.errors import UserError
from evaluation.files import check_writable, write, write_json


def test_folders_are_made_and_what_lay_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "page.html"
    for text in ("one", "two"):
        write(path, text)
        assert path.read_text() == text
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]


def test_numbers_that_json_has_not_are_null_at_any_depth(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1.5, math.nan], "b": {"c": (math.inf, -math.inf, 2)}, "d": "NaN", "e": None})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"a": [1.5, None], "b": {"c": [None, None, 2]}, "d": "NaN", "e": None}
    assert text.endswith("}\n")


def test_every_file_that_cannot_be_written_is_told_before_anything_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    (tmp_path / "folder").mkdir()
    below, folder, good = tmp_path / "file" / "x.json", tmp_path / "folder", tmp_path / "new" / "deep" / "x.json"
    check_writable(good, None)
    check_writable(good)
    assert good.parent.is_dir()
    assert not good.exists()
    with pytest.raises(UserError) as error:
        check_writable(None, below, good, folder)
    assert f"{below}: cannot be written (" in str(error.value)
    assert f"{folder}: cannot be written (is a folder); choose another file" in str(error.value)
    assert str(good) not in str(error.value)
    with pytest.raises(UserError, match="choose another file"):
        write(below, "text")
