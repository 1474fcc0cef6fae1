"""Runs on judges of every kind behind a chat server: probed once, judged in the form they allow, and known again on a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import generate_feedback
from constitution.errors import UserError
from constitution.records import Vote
from generation.engines.capabilities import Capabilities
from generation.output.manifest import read as read_manifest
from generation.output.reading import read_pairs, read_votes
from generation.pipeline.preflight import FILE, Found, read, write
from tests.generation.servers.judge import ChatJudge
from tests.generation.servers.loopback import Server

LAWS = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
"""
ROWS = [{"prompt": f"Question {i}?", "responses": [f"GOOD answer {i}", f"bad answer {i}"]} for i in range(3)]


@contextmanager
def serving(judge: Any) -> Iterator[Server]:
    server = Server(judge)
    try:
        yield server
    finally:
        server.stop()


def run(folder: Path, server: Server, *more: str, out: str = "run", **endpoint: Any) -> int:
    """The exit code of the command."""
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    quick = {"url": server.url, "attempts": 2, "backoff_seconds": 0.01, **endpoint}
    settings = {"engine": "endpoint", "policy": "m", "endpoints": [quick]}
    settings["plan"] = {"rounds": 0, "controls": 0}
    (folder / "run.config.yaml").write_text(yaml.safe_dump(settings))
    files = ["--constitution", folder / "c.yaml", "--prompts", folder / "p.jsonl", "--out", folder / out]
    return generate_feedback.main([*map(str, files), "--config", str(folder / "run.config.yaml"), *more])


def votes(folder: Path) -> list[Vote]:
    return [*read_votes(folder / "run" / "votes.parquet")]


@pytest.mark.parametrize(
    ("judge", "calls", "censored", "value"),
    [
        pytest.param(ChatJudge(), 2, 0, 4.0, id="twenty-alternatives"),
        pytest.param(ChatJudge(alternatives=5), 2, 0, 4.0, id="five"),
        pytest.param(ChatJudge(alternatives=1), 2, 3, 4.0, id="one"),
        pytest.param(ChatJudge(ignores_logprobs=True), 8, 0, 2.197, id="none"),
        pytest.param(ChatJudge(ignores_logprobs=True, schema=False), 8, 0, 2.197, id="none-and-no-schema"),
        pytest.param(ChatJudge(thinks="closed"), 8, 0, 2.197, id="thinks"),
        pytest.param(ChatJudge(thinks="apart", refuses=["max_tokens", "seed"], fixed={"temperature": 1}), 8, 0, 2.197, id="as-the-o-series"),
    ],
)  # fmt: skip
def test_every_kind_of_judge_gives_the_right_label(
    judge: ChatJudge, calls: int, censored: int, value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(judge) as server:
        assert run(tmp_path, server) == 0
        probes = len(judge.bodies) - calls * len(ROWS)
        assert 2 <= probes <= 10
        assert capsys.readouterr().err.count("probe: m: ") == 1
        before = len(judge.bodies)
        assert run(tmp_path, server) == 0
        assert len(judge.bodies) == before, "a finished run asks nothing"
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert (manifest.calls.made, manifest.counts.censored_votes, manifest.failed) == (calls * len(ROWS), censored, {})
    found = votes(tmp_path)
    assert [vote.value for vote in found] == [pytest.approx(value, abs=0.01)] * 3
    assert sum(vote.censored for vote in found) == censored
    pairs = [
        pair
        for split in ("train", "test")
        for path in [tmp_path / f"run/data/preferences/{split}.parquet"]
        if path.exists()
        for pair in read_pairs(path, split)
    ]
    assert all(pair.chosen.content.startswith("GOOD") for pair in pairs)
    assert len(pairs) == 3
    machine = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["machine"]
    assert Capabilities.model_validate(machine["capabilities"]["m"]) == read(tmp_path / "run")[0].capabilities


def test_trouble_ends_the_run_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"status": 401, "json": {"error": {"message": "Incorrect API key provided"}}}
    with serving(refused) as server:
        assert run(tmp_path, server) == 2
        assert len(server.seen) == 2
    assert "Incorrect API key provided" in capsys.readouterr().err
    assert not (tmp_path / "run" / FILE).exists()
    judge = ChatJudge()
    with serving(judge) as server:
        assert run(tmp_path, server) == 0
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert (manifest.calls.made, manifest.calls.reused) == (6, 0)


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: text.replace('"thinks"', '"thinked"'),
                                    lambda text: text.replace("20", "19")])  # fmt: skip
def test_what_probes_found_is_sealed(damage: Callable[[str], str], tmp_path: Path) -> None:
    found = Found(model="m", servers=["http://a"], capabilities=Capabilities(top_logprobs=20))
    write(tmp_path, [found])
    assert read(tmp_path) == [found]
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(damage(text))
    assert damage(text) != text
    with pytest.raises(
        UserError, match=r"capabilities.json: is damaged, or was changed by hand; delete it, and the servers"
    ):
        read(tmp_path)


def test_a_plan_knows_the_form_that_a_probe_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = ChatJudge(ignores_logprobs=True)
    with serving(judge) as server:
        assert run(tmp_path, server, "--plan") == 0
        assert _compared(capsys.readouterr().out) == 6
        assert judge.bodies == []
        assert run(tmp_path, server, "--plan", "--probe") == 0
        told = capsys.readouterr()
        assert _compared(told.out) == 24
        assert "probe: m: no log-probabilities of an answer" in told.err
        assert not (tmp_path / "run").exists()
        assert run(tmp_path, server) == 0
        capsys.readouterr()
        (tmp_path / "run" / "manifest.json").unlink()
        assert run(tmp_path, server, "--plan") == 0
        assert _compared(capsys.readouterr().out, column=1) == 24, "stored, and the probe is remembered"


def test_a_restart_keeps_the_form_and_another_form_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(ChatJudge()) as server:
        assert run(tmp_path, server) == 0
    (tmp_path / "run" / "manifest.json").unlink()
    with serving(ChatJudge(ignores_logprobs=True)) as server:
        assert run(tmp_path, server) == 2
        assert (
            "m judged by log-probabilities in this folder, and the servers of now make it judge by texts"
            in capsys.readouterr().err
        )
    other = ChatJudge(alternatives=5)
    with serving(other) as server:
        assert run(tmp_path, server) == 0
        assert len(other.bodies) == 3, "the probe of another server, and no call of the run again"


def _compared(table: str, column: int = 2) -> int:
    """Calls of the stage that the table says are certain; in column 1 those that are reused."""
    row = next(line for line in table.splitlines() if "compare" in line)
    return int(row.replace("│", " ").split()[column])
