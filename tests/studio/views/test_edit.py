"""The editor: by requests, and the whole flow in a browser."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from constitution.__main__ import main
from constitution.digest import digest
from evaluation.principles.report import read_report
from generation.output.run import open_run
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


def test_principles_under_test_stand_beside_their_text(
    client: TestClient, run: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "tested.json"
    code = main(["test", str(run / "constitution.yaml"), "--data", str(run), "--votes-only", "--json", str(saved)])
    printed = " ".join(capsys.readouterr().out.split())
    found = read_report(saved)
    assert [*found.principles] == ["kind", "brief", "calm"]
    assert (code == 0) == (found.doubts == ())
    by_votes = post(client, "/edit/tested", edited(text())).text
    for name, one in found.principles.items():
        assert f"takes a side in {100 * one.decides:.0f}% of the pairs" in by_votes  # type: ignore[operator]
        assert re.search(rf"{name} (│ )+{one.decides:.0%}", printed)
    same = {"value": 0.83, "low": 0.7, "high": 0.9, "pairs": 40}
    kind = {**found.principles["kind"].model_dump(), "in_other_words": same, "most_like": "calm", "likeness": 0.96}
    doubt = {"principle": "kind", "check": "redundant", "what": "it is <calm>", "fix": "merge", **same}
    told = {**found.model_dump(), "principles": {**found.model_dump()["principles"], "kind": kind}, "doubts": [doubt]}
    saved.write_text(json.dumps(told))
    as_saved = client_of(file, run, saved)
    changed = post(as_saved, "/edit/tested", edited("# ours\n" + text(calm={"text": "Be calmer."}))).text
    form = post(as_saved, "/edit/form", edited(text())).text
    line = text().splitlines().index("- id: kind") + 1
    assert f'data-line="{line}"' in by_votes
    assert f'data-line="{line + 1}"' in changed
    assert changed.count("tested with another text") == 1
    assert "tested with another text" not in by_votes + form
    for shown in (changed, form):
        assert "in other words 0.83 (0.70 to 0.90)" in shown
        assert "most like calm (0.96)" in shown
        assert "redundant: it is &lt;calm&gt;. merge." in shown
    saved.write_text("{}")
    assert post(as_saved, "/edit/tested", edited(text())).status_code == 400
    assert post(client_of(file), "/edit/tested", edited(text())).status_code == 400, "nothing was tested"


def until(client: TestClient, word: str, path: str = "/edit/asking") -> str:
    for _ in range(600):
        found = str(client.get(path).text)
        if word in found:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


@pytest.mark.model
def test_asking_again_is_stopped_and_resumed_and_makes_the_calls_that_were_planned(
    client: TestClient, run: Path
) -> None:
    new = text(kind={"text": "Be kinder still."}, calm={"weight": 0.5})
    made_before = {path.name for path in run.parent.iterdir()}
    price = post(client, "/edit/price", edited(new)).text
    assert made_before == {path.name for path in run.parent.iterdir()}, "a price leaves nothing behind"
    assert post(client, "/edit/ask", edited(new)).status_code == 200
    assert post(client, "/edit/ask", edited(new)).status_code == 400, "one at a time"
    tried = {"text": new, "prompt": "Why?", "responses": ["It is.", "It is so, kindly."]}
    assert post(client, "/edit/try", tried).status_code == 400
    post(client, "/edit/stop", {})
    until(client, "Stopped")
    assert "/within/asked/" not in client.get("/edit").text
    post(client, "/edit/ask", edited(new))
    until(client, "Finished")
    (name,) = {path.name for path in run.parent.iterdir()} - made_before
    manifest = open_run(run.parent / name).manifest
    assert f'<b id="planned">{manifest.calls.made}</b> calls' in price
    assert 0 < manifest.calls.made < open_run(run).manifest.calls.made
    assert open_run(run.parent / name).constitution.by_id("kind").text == "Be kinder still."
    assert f"Open {name}" in client.get("/edit").text
    assert f"(A) and {name} (B)" in client.get("/within/asked/compare").text
    assert f"<b>{name}</b>" in client.get("/within/asked/within/against/overview").text
    for wrong in ({"prompt": " "}, {"responses": ["one", ""]}, {"responses": ["one"]}):
        assert post(client, "/edit/try", {**tried, **wrong}).status_code == 400
