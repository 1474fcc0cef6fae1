"""The queue: by requests, and the whole flow in a browser."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.studio.conftest import client_of, post


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def rows(run: Path) -> list[dict[str, Any]]:
    path = run / "review.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_answer_is_a_line_and_the_panel_is_told_afterwards(run: Path) -> None:
    client = client_of(run)
    text = client.get("/review?by=eve").text
    assert "probability" not in text
    assert "judge/" not in text, "no vote is told before the answer"
    line = json.loads(re.search(r"id=\"answer\".*data-line='([^']*)'", text)[1])  # type: ignore[index]
    assert (line["by"], line["left"]) == ("eve", "a")
    found = post(client, "/review/answer", {**line, "label": "a", "note": "b invents"})
    assert found.status_code == 200
    assert "The panel: A is better with probability" in found.text
    assert "1 pairs labelled" in found.text
    assert line["id"] not in found.text, "another pair is next"
    assert post(client, "/review/answer", {**line, "label": "a", "note": "b invents"}).status_code == 200
    (row,) = rows(run)
    assert {key: row[key] for key in line} == line
    assert (row["label"], row["note"]) == ("a", "b invents")


@pytest.mark.parametrize(
    "change",
    [{"label": "c"}, {"extra": 1}, {"a": "x"}, {"edited": "a"}, {"prompt_id": "../../etc/passwd"}, {"b": ["x"]}],
)
def test_what_is_no_label_of_the_run_is_refused(run: Path, change: dict[str, Any]) -> None:
    client = client_of(run)
    text = client.get("/review?by=eve").text
    line = json.loads(re.search(r"id=\"answer\".*data-line='([^']*)'", text)[1])  # type: ignore[index]
    found = post(client, "/review/answer", {**line, "label": "a", **change})
    assert found.status_code == 400
    assert found.json()["lines"]
    assert rows(run) == []
