"""The queue: by requests, and the whole flow in a browser."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from generation.output.run import open_run
from tests.studio.conftest import client_of, make_run, post


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def rows(run: Path) -> list[dict[str, Any]]:
    path = run / "review.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.model
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


@pytest.mark.model
def test_two_studios_on_one_folder_share_labels_and_a_better_response_is_trained_on(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    eves, bobs = client_of(run), client_of(run)
    line = line_of(eves, "eve")
    said = {**line, "label": "a", "edited": "a", "text": "A kinder and a shorter answer."}
    assert post(eves, "/review/answer", said).status_code == 200
    other = {**line, "by": "bob", "id": "another", "label": "a"}
    assert "bob and eve agree on 100%" in post(bobs, "/review/answer", other).text
    assert "bob and eve agree on 100%" in eves.get("/review?by=eve").text, "the other studio reads what one wrote"
    assert line_of(bobs, "bob")["id"] != line["id"]
    changed = {**other, "id": "third", "label": "b"}
    assert "bob and eve agree on 0%" in post(eves, "/review/answer", changed).text, (
        "the last of a person's answers counts"
    )
    assert post(eves, "/review/answer", {**other, "id": "fourth"}).status_code == 200
    assert [row["by"] for row in rows(run)] == ["eve", "bob", "bob", "bob"]
    make_run(tmp_path)
    human = [
        pair for pair in open_run(run).pairs() if pair.label_source == "human" and pair.prompt_id == line["prompt_id"]
    ]
    assert said["text"] in {pair.chosen.content for pair in human}
    assert f"{open_run(run).manifest.counts.pairs} of " in eves.get("/pairs").text, "the run as it is now"


def line_of(client: TestClient, by: str) -> dict[str, str]:
    """A label of the next pair, without its answer."""
    text = client.get(f"/review?by={by}").text
    found: dict[str, str] = json.loads(re.search(r"id=\"answer\".*data-line='([^']*)'", text)[1])  # type: ignore[index]
    return found
