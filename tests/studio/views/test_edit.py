"""The editor: by requests, and the whole flow in a browser."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from starlette.testclient import TestClient

from constitution.__main__ import main
from constitution.digest import digest
from generation.output.run import open_run
from studio.editing.editor import editor_of
from studio.state import Studio
from studio.subject import subject_of
from tests.studio.conftest import client_of, make_run, post

LAWS: dict[str, Any] = {
    "name": "laws",
    "version": 1,
    "objectives": {"good": 1.0},
    "principles": [
        {"id": "kind", "objective": "good", "text": "Be kind."},
        {"id": "brief", "objective": "good", "text": "Be <b>brief</b>."},
        {"id": "calm", "objective": "good", "text": "Be calm."},
    ],
}


def text(**edits: dict[str, Any]) -> str:
    principles = [{**one, **edits.get(one["id"], {})} for one in LAWS["principles"]]
    return yaml.safe_dump({**LAWS, "principles": principles}, sort_keys=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edit")
    (folder / "laws.yaml").write_text(text())
    return make_run(folder, "run", str(folder / "laws.yaml"), "--set", "plan.controls=0", "--set", "plan.rounds=0")


@pytest.fixture
def file(run: Path, tmp_path: Path) -> Path:
    (tmp_path / "laws.yaml").write_text("# ours\n" + text())
    return tmp_path / "laws.yaml"


@pytest.fixture
def client(file: Path, run: Path) -> TestClient:
    return client_of(file, run)


def edited(value: str, **more: object) -> dict[str, object]:
    return {"text": value, **more}


def test_what_is_wrong_stands_at_its_line_and_what_changes_beside_it(client: TestClient) -> None:
    wrong = text().replace("objective: good", "objective: god", 1)
    found = post(client, "/edit/check", edited(wrong)).text
    assert f'data-line="{wrong.splitlines().index("  objective: god") + 1}"' in found
    assert "god" in found
    assert "What it changes" not in found
    same = post(client, "/edit/check", edited(text())).text
    assert "<b>0</b> flip" in same
    assert "No errors, no warnings." in same
    weighed = post(client, "/edit/check", edited(text(kind={"weight": 30.0}))).text
    assert "<b>0</b> flip" not in weighed
    assert "<script>document" not in weighed
    assert "<b>0</b> go" not in post(client, "/edit/check", edited(text(), least=5.0)).text
    asked = post(client, "/edit/check", edited(text(kind={"text": "Be kinder."}))).text
    assert "kind: " in asked
    assert "would be asked again" in asked


def test_the_file_is_saved_where_it_was_opened_and_only_as_it_was_read(client: TestClient, file: Path) -> None:
    before = file.read_text()
    new = "# mine\n" + text(kind={"weight": 2.0})
    assert post(client, "/edit/save", {"text": new, "seen": "another"}).status_code == 400
    assert post(client, "/edit/save", {"text": "name: [", "seen": digest(before)}).status_code == 400
    assert file.read_text() == before
    saved = post(client, "/edit/save", {"text": new, "seen": digest(before)})
    assert saved.json() == {"seen": digest(new)}
    assert file.read_text() == new
    file.write_text(before)
    refused = post(client, "/edit/save", {"text": new, "seen": digest(new)})
    assert "changed by another program" in " ".join(refused.json()["lines"])
    assert file.read_text() == before


def test_a_runs_own_constitution_is_not_saved(run: Path) -> None:
    before = (run / "constitution.yaml").read_bytes()
    found = post(client_of(run), "/edit/save", {"text": text(), "seen": digest(before.decode())})
    assert found.status_code == 400
    assert (run / "constitution.yaml").read_bytes() == before


def test_the_form_changes_one_value_of_the_text(client: TestClient, file: Path) -> None:
    assert "principles&#34;, &#34;kind" in post(client, "/edit/form", edited(file.read_text())).text.replace(
        '"', "&#34;"
    )
    sent = {"text": file.read_text(), "keys": ["principles", "kind", "weight"], "value": 3.5}
    changed = post(client, "/edit/field", sent).json()["text"]
    assert changed.startswith("# ours")
    assert yaml.safe_load(changed)["principles"][0] == {**LAWS["principles"][0], "weight": 3.5}
    assert post(client, "/edit/field", {**sent, "keys": ["principles", "gone", "weight"]}).status_code == 400


def test_principles_are_tested_by_the_runs_votes(
    client: TestClient, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = client.get("/edit/doubts").text
    code = main(["test", str(run / "constitution.yaml"), "--data", str(run), "--votes-only"])
    printed = " ".join(capsys.readouterr().out.split())
    assert ("No principle" in shown) == (code == 0)
    for one in editor_of(Studio(subject_of(run))).doubts():
        assert f"<b>{one.principle}</b>" in shown
        assert one.principle in printed


def until(client: TestClient, word: str) -> str:
    for _ in range(600):
        found = str(client.get("/edit/asking").text)
        if word in found:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


@pytest.mark.model
def test_asking_again_makes_the_calls_that_were_planned(client: TestClient, run: Path) -> None:
    new = text(kind={"text": "Be kinder still."}, calm={"weight": 0.5})
    price = post(client, "/edit/price", edited(new)).text
    made_before = {path.name for path in run.parent.iterdir()}
    assert made_before == {path.name for path in run.parent.iterdir()}, "a price leaves nothing behind"
    assert post(client, "/edit/ask", edited(new)).status_code == 200
    assert post(client, "/edit/ask", edited(new)).status_code == 400, "one at a time"
    until(client, "Finished")
    (name,) = {path.name for path in run.parent.iterdir()} - made_before
    manifest = open_run(run.parent / name).manifest
    assert f'<b id="planned">{manifest.calls.made}</b> calls' in price
    assert 0 < manifest.calls.made < open_run(run).manifest.calls.made
    kinder = open_run(run.parent / name).constitution.by_id("kind")
    assert kinder.text == "Be kinder still."


@pytest.mark.model
def test_asking_is_stopped_and_resumed(client: TestClient, run: Path) -> None:
    new = text(kind={"text": "Be the kindest."})
    post(client, "/edit/ask", edited(new))
    post(client, "/edit/stop", {})
    until(client, "Stopped")
    post(client, "/edit/ask", edited(new))
    until(client, "Finished")


@pytest.mark.model
def test_a_person_edits_in_a_browser(
    run: Path, file: Path, serve: Callable[..., str], tab: Page, tmp_path: Path
) -> None:
    tab.goto(serve(file, run))
    assert tab.title().startswith("Edit")
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    tab.keyboard.press("t")
    tab.locator("#text").fill(text().replace("objective: good", "objective: god", 1))
    tab.get_by_text("god", exact=False).locator("visible=true").first.wait_for()
    tab.locator("button[data-line]").first.click()
    assert "objective: god" in tab.evaluate(
        "(() => { const t = document.getElementById('text'); return t.value.slice(t.selectionStart, t.selectionEnd); })()"
    )
    tab.locator("#text").fill("# kept\n" + text())
    tab.get_by_text("No errors, no warnings.").wait_for()
    tab.keyboard.press("Escape")
    tab.keyboard.press("f")
    weight = tab.locator("#form input[data-keys*=kind][type=number]")
    weight.fill("30")
    weight.press("Tab")
    tab.locator("#effect details.moved").first.wait_for(state="attached")
    assert "weight: 30" in tab.locator("#text").input_value()
    assert "# kept" in tab.locator("#text").input_value()
    tab.locator("#effect details.moved summary").first.click()
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    tab.screenshot(path=tmp_path / "edit.png", full_page=True)
    tab.locator("#save").click()
    tab.get_by_text("Saved.").wait_for()
    assert "weight: 30" in file.read_text()
    tab.locator("#price").click()
    tab.locator("#planned").wait_for()
    assert tab.locator("#planned").inner_text() == "0", "a weight takes no call"
    tab.locator("#ask").click()
    tab.get_by_text("Finished").wait_for(timeout=90_000)
    assert tab.locator("#made").inner_text() == "0"
