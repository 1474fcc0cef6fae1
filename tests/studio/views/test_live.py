"""How far runs, trainings and loops are: counts, cost, curves, and links to what a loop made."""

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
import yaml

from generation.calls.watching import CallWatch
from generation.output.files import write_sealed
from generation.output.folder import run_folder
from generation.output.run import open_run
from studio.data.live import RunWatch, training_state
from tests.studio.conftest import client_of
from tests.studio.views.test_policy import policy_file
from training.run.metrics import Metrics


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
    assert (state.prompts, state.total) == (12, 12)
    known = {pair.chosen.content for pair in open_run(finished).pairs()}
    assert {one.chosen for one in state.pairs} <= known
    assert state.pairs


def test_cost_so_far_is_by_the_prices_and_of_calls_made(finished: Path, tmp_path: Path) -> None:
    snapshot = run_folder(finished).snapshot() or {}
    priced = {**snapshot, "machine": {**snapshot["machine"], "prices": {"x": {"prompt": 2.0, "completion": 8.0}}}}
    write_sealed(tmp_path / "run.yaml", yaml.safe_dump(priced))
    shutil.copy(finished / "calls.sqlite", tmp_path)
    state = RunWatch(tmp_path).look()
    tokens = open_run(finished).manifest.tokens
    assert state.manifest is None
    assert state.cost == pytest.approx((2.0 * tokens.prompt + 8.0 * tokens.completion) / 1e6)
    text = client_of(tmp_path).get("/live").text
    assert f"{state.cost:,.4f} USD" in text
    assert "cost so far" in text
    assert 'max="12" value="12"' in text


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


def test_a_training_shows_its_speed_what_was_read_and_its_newest_pairs(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    state = training_state(folder)
    assert state.latest == {"pairs": "12", "dropped_tie": "3", "tokens_per_second": "1,234"}
    assert [one.chosen for one in state.pairs] == ["B4", "B3", "B2", "B1", "B0"], "the newest first, none half-written"
    text = client_of(folder).get("/live").text
    assert "tokens_per_second" in text
    assert "<b>B4" not in text
    (folder / "pairs.jsonl").unlink()
    (folder / "responses.jsonl").write_text(json.dumps({"prompt": "Why?", "response": "So."}) + "\n")
    assert [(one.prompt, one.chosen, one.rejected) for one in training_state(folder).pairs] == [("Why?", "So.", "")]


def trained(folder: Path, said: str = "") -> Path:
    """A training under way."""
    (folder / "training.yaml").write_text("{}\n")
    metrics = Metrics(folder)
    metrics.write(0, {"pairs": 12, "dropped_tie": 3}, "data")
    for step in range(3):
        metrics.write(step, {"loss": 1.0 / (step + 1), "tokens_per_second": 1234.4})
    if said:
        metrics.warn(1, said)
    metrics.close()
    rows = [
        {"prompt": f"Why?{said}", "chosen": [{"role": "assistant", "content": f"B{i}{said}"}], "rejected": "x"}
        for i in range(5)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"prompt')
    return folder


def looped(folder: Path, finished: Path) -> Path:
    """A loop of one attempt, which was refused."""
    (folder / "loop.yaml").write_text("{}\n")
    attempt = folder / "round-1" / "attempt-1"
    (attempt / "checkpoint").mkdir(parents=True)
    (attempt / "evaluation").mkdir()
    trained(attempt / "checkpoint")
    policy_file(attempt / "evaluation" / "policy.json")
    (folder / "round-1" / "run").symlink_to(finished)
    (folder / "round-1" / "reward").mkdir()  # not begun
    (folder / "round-x").mkdir()
    figures = {"win rate": {"value": 0.6, "low": 0.5, "high": 0.7}}
    decision = {"round": 1, "attempt": 1, "recipe": "dpo", "parent": "base", "policy": "p", "learning_rate": 1e-5}
    (attempt / "decision.json").write_text(json.dumps({**decision, "accepted": False, "figures": figures}))
    return folder


def test_a_loops_rounds_lead_to_what_they_made(finished: Path, tmp_path: Path) -> None:
    looped(tmp_path, finished)
    client = client_of(tmp_path)
    text = client.get("/live").text
    assert "Round 1, attempt 1: dpo" in text
    names = set(re.findall(r'href="/within/([^"]*)/"', text))
    assert names == {f"round-1-{name}" for name in ("run", "reward", "attempt-1-training", "attempt-1-evaluation")}
    assert "Step 2." in client.get("/within/round-1-attempt-1-training/").text
    assert "How often A is preferred" in client.get("/within/round-1-attempt-1-evaluation/").text
    pairs = client.get("/within/round-1-run/pairs").text
    assert "12 of 12 pairs" in pairs
    assert f'<a href="/">{tmp_path.name}</a> /' in pairs, "the way back"
    links = {link for link in re.findall(r'(?:href|action)="([^"]*)"', pairs) if not link.startswith(("#", "/static/"))}
    assert {link for link in links if not link.startswith("/within/round-1-run/")} == {"/"}
    for link in sorted(links)[:20]:
        assert client.get(unescape(link)).status_code == 200, link
    for path in (
        "/within/round-1-reward/",
        "/within/round-2-run/",
        "/within/round-1-run",
        "/within/",
        "/within/run.yaml/",
    ):
        assert client.get(path).status_code == 404, path
