"""Reading by the client: what pages say; and whole flows in a browser, by keys alone."""

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient

from generation.calls.watching import CallWatch
from generation.output.run import open_run
from studio.data.live import RunWatch, training_state
from tests.studio.conftest import client_of, make_run
from training.run.metrics import Metrics

EDITED = """
name: hhh
version: 2
objectives: {harmlessness: 1.0}
principles:
  - {id: no-harmful-advice, objective: harmlessness, text: Be as brief as you can.}
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by another constitution over the same prompts."""
    folder = tmp_path_factory.mktemp("edited")
    (folder / "edited.yaml").write_text(EDITED)
    return make_run(folder, "edited", str(folder / "edited.yaml"))


def bars(text: str, title: str) -> dict[str, str]:
    """Of a plot of a page: what each bar says -> where it leads."""
    figure = next(one for one in text.split("<figure>") if f"<figcaption>{title}</figcaption>" in one)
    found = re.findall(r'<a href="([^"]*)" aria-label="([^"]*)"', figure.partition("</figure>")[0])
    return {unescape(said): unescape(href) for href, said in found}


def test_each_bar_leads_to_as_many_pairs_as_it_says(client: TestClient) -> None:
    text = client.get("/overview").text
    for title in ("p of the chosen response", "Pairs that a principle voted on", "Tag of the prompt", "Origin"):
        found = bars(text, title)
        assert found
        for said, href in found.items():
            count = said.rpartition(": ")[2]
            assert f'role="status">{count} of ' in client.get(href).text, (title, said)
    p = bars(text, "p of the chosen response")
    assert sum(int(said.rpartition(": ")[2]) for said in p) == 12


def test_a_pair_is_shown_down_to_what_the_judge_read(client: TestClient, finished: Path) -> None:
    pair = next(open_run(finished).pairs())
    text = client.get("/pairs/0").text
    for vote in pair.votes:
        assert vote.principle in text
        assert f"{vote.value:+.2f}" in text
        assert vote.method == "violation" or f"{vote.bias:+.2f}" in text
    link = unescape(next(found for found in re.findall(r'href="([^"]*)"', text) if found.startswith("/calls")))
    calls = client.get(link).text
    assert calls.count("<summary>compare") == 2 * len(pair.votes)  # in both orders
    assert unescape(calls).count(f"Question {pair.prompt[0].content.split()[1][:-1]}?") >= 2 * len(pair.votes)


def test_what_flipped_and_why(finished: Path, edited: Path) -> None:
    text = client_of(finished, edited).get("/compare?kind=flipped").text
    flipped = int(re.findall(r"([\d,]+) flipped", text)[0])
    assert flipped == text.count('<section aria-label="Pair">')
    kept = int(re.findall(r"([\d,]+) kept", text)[0])
    assert kept + flipped <= 12
    assert flipped > 0  # the replay engine answers another question anew
    assert "voter that changed sides" in text
    for kind in ("appeared", "disappeared"):
        assert client_of(finished, edited).get(f"/compare?kind={kind}").status_code == 200
    assert client_of(finished, edited).get("/compare?kind=x").status_code == 400


def test_calls_are_summed_as_they_come(finished: Path, tmp_path: Path) -> None:
    watch = CallWatch(tmp_path / "calls.sqlite")
    watch.update()
    assert watch.stages == {}
    shutil.copy(finished / "calls.sqlite", tmp_path)
    watch.update()
    watch.update()  # nothing is counted twice
    assert sum(one.made for one in watch.stages.values()) == open_run(finished).manifest.calls.made
    state = RunWatch(finished).look()
    assert state.manifest is not None
    assert state.stages == watch.stages


def test_curves_are_those_of_the_file(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for step in range(5):
        metrics.write(step, {"loss": 1.0 / (step + 1), "accuracy": 0.5})
    metrics.write(4, {"accuracy": 0.75}, "eval")
    metrics.warn(4, "Step 4: look here.")
    metrics.close()
    state = training_state(tmp_path)
    assert state.step == 4
    assert state.warnings == ["Step 4: look here."]
    lines = {name: line for chart in state.curves.values() for name, line in chart.items()}
    assert lines["loss"] == [(step, 1.0 / (step + 1)) for step in range(5)]
    assert lines["accuracy (eval)"] == [(4, 0.75)]


@pytest.mark.model
def test_pairs_are_read_by_keys_alone(finished: Path, serve: Callable[..., str], tab: Page) -> None:
    tab.goto(serve(finished))
    tab.get_by_role("link", name="Pairs", exact=True).click()
    tab.wait_for_url("**/pairs")
    tab.wait_for_load_state()
    tab.keyboard.press("/")
    tab.keyboard.type("kindly")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_contain_text("9 of 12 pairs")
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    second = tab.evaluate("document.activeElement.textContent")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", level=1)).to_have_text(f"Pair {second}")
    assert "q=kindly" in tab.url
    tab.keyboard.press("j")
    expect(tab.get_by_text("3 of 9")).to_be_visible()
    tab.keyboard.press("u")
    expect(tab.get_by_role("status")).to_contain_text("9 of 12 pairs")
    tab.goto(tab.url.partition("/pairs")[0] + "/overview")
    tab.wait_for_load_state()
    bar = tab.locator("svg.plot a").filter(has_text="given over given").first
    bar.focus()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_contain_text("9 of 12 pairs")
    assert tab.title() != "ran"


@pytest.mark.model
def test_a_run_is_followed_while_it_goes_on(
    finished: Path, serve: Callable[..., str], tab: Page, tmp_path: Path
) -> None:
    shutil.copy(finished / "run.yaml", tmp_path)
    tab.goto(serve(tmp_path))
    expect(tab.get_by_text("No call yet.")).to_be_visible()
    expect(tab.get_by_text("Following.")).to_be_visible()
    shutil.copy(finished / "calls.sqlite", tmp_path / "moving")
    (tmp_path / "moving").rename(tmp_path / "calls.sqlite")
    expect(tab.get_by_role("cell", name="compare", exact=True)).to_be_visible()
    expect(tab.get_by_text("not finished")).to_be_visible()


def test_two_policies_side_by_side(tmp_path: Path) -> None:
    one = {"value": 0.625, "low": 0.5, "high": 0.75}
    model = {"name": "models/<b>a</b>", "digest": "d"}
    example = {
        "why": "win",
        "prompt_id": "p1",
        "prompt": "Why?",
        "a": "Because it is.",
        "b": "Because.",
        "logit": 1.5,
        "votes": {"judge/compare/kind": 1.5},
    }
    outcomes = [{"prompt_id": f"p{i}", "logit": logit, "longer": i} for i, logit in enumerate((0.5, -2.0, 3.0))]
    body = {
        "a": model, "b": model, "base": model, "prompts": {"source": "x", "digest": "y", "count": 3, "compared": 3, "failed": 0}, "constitution": "c",
        "judges": {}, "win": {"raw": one, "probability": one, "principles": {"kind": one}}, "responses": {}, "failures": {}, "pairs": outcomes,
        "examples": [example], "calls": {"made": 1, "reused": 0},
    }  # fmt: skip
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(body))
    client = client_of(path)
    text = client.get("/").text
    assert "models/&lt;b&gt;a&lt;/b&gt; (A)" in text
    assert text.count("62.5%") == 3
    assert "<ins>Because it is" in text
    for sort, order in {"win": [2, 0, 1], "loss": [1, 0, 2], "close": [0, 1, 2], "longer": [2, 1, 0]}.items():
        rows = client.get(f"/policy?sort={sort}").text.rpartition("<tbody>")[2]
        assert re.findall(r"<td>p(\d)</td>", rows) == [str(i) for i in order]
    assert client.get("/policy?sort=x").status_code == 400
    assert client.get("/pairs").status_code == 400
