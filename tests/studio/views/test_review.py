"""The queue: by requests, and the whole flow in a browser."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

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


@pytest.mark.model
def test_a_person_labels_by_keys_alone(run: Path, serve: Callable[[Path], str], tab: Page, tmp_path: Path) -> None:
    tab.goto(serve(run))
    tab.goto("/".join(tab.url.split("/")[:3]) + "/review?by=eve")
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    for key in ("a", "b", "=", "x", "Space"):
        before = tab.locator("#answer").get_attribute("data-line")
        tab.keyboard.press(key)
        tab.locator(f"#answer:not([data-line='{before}'])").wait_for(state="attached")
        assert tab.evaluate("document.activeElement.id") == "now", "a screen reader goes on from the next pair"
    assert [row["label"] for row in rows(run)] == ["a", "b", "tie", "both_bad", "skip"]
    tab.keyboard.press("n")
    tab.keyboard.type("a note with a = b")
    tab.keyboard.press("Escape")
    tab.keyboard.press("e")
    tab.locator("textarea[data-side=a]").fill("A kinder and a shorter answer.")
    tab.keyboard.press("Escape")
    tab.keyboard.press("a")
    tab.get_by_text("You said: A is better.").wait_for()
    last = rows(run)[-1]
    assert (last["note"], last["edited"], last["text"]) == ("a note with a = b", "a", "A kinder and a shorter answer.")
    tab.get_by_text("Its votes, and the pair").click()
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    tab.screenshot(path=tmp_path / "review.png", full_page=True)
    tab.keyboard.press("u")
    tab.get_by_text("You said: skipped.").wait_for()
    assert (rows(run)[-1]["a"], rows(run)[-1]["label"]) == (last["a"], "skip")
    assert len({row["id"] for row in rows(run)}) == 7
    assert tab.title().startswith("Review"), "no text of the run ran"
