"""Runs from Python: rows from memory, resumed, and read back as records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

import solon
from constitution.records import Message, Prompt
from solon.__main__ import main

ROWS: list[dict[str, Any]] = [
    {"id": "egg", "prompt": "How do I boil an egg?"},
    {"id": "flat", "prompt": "Is the earth flat?", "tags": ["red-team"]},
    {"id": "given", "prompt": "Say hello.", "responses": ["Hello!", "No."]},
]


def made(rows: Iterable[Any], out: Path, **settings: Any) -> solon.Run:
    return solon.run_sync(solon.generate_feedback("hhh", rows, out, engine="replay", report=False, **settings))


def records(run: solon.Run) -> list[list[Any]]:
    return [[*run.pairs()], [*run.votes()], [*run.failures()]]


FORMS: dict[str, Callable[[list[dict[str, Any]]], Iterable[Any]]] = {
    "iterator": iter,
    "generator": lambda rows: (row for row in rows),
    "dataset": lambda rows: datasets.Dataset.from_list([{"tags": None, "responses": None, **row} for row in rows]),
    "prompts": lambda rows: [
        Prompt(
            id=row["id"],
            messages=(Message(role="user", content=row["prompt"]),),
            tags=tuple(row.get("tags", ())),
            responses=tuple(Message(role="assistant", content=text) for text in row.get("responses", ())),
        )
        for row in rows
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> solon.Run:
    return made(ROWS, tmp_path_factory.mktemp("run") / "x")


@pytest.mark.parametrize("form", FORMS)
def test_rows_come_in_many_forms(form: str, run: solon.Run, tmp_path: Path) -> None:
    assert records(made(FORMS[form](ROWS), tmp_path / "x")) == records(run)


def test_columns_may_have_other_names(run: solon.Run, tmp_path: Path) -> None:
    renamed = [{"question" if key == "prompt" else key: value for key, value in row.items()} for row in ROWS]
    assert records(made(renamed, tmp_path / "x", columns={"prompt": "question"})) == records(run)


def test_a_text_is_a_prompt(tmp_path: Path) -> None:
    found = made(["How do I boil an egg?"], tmp_path / "x")
    assert {pair.prompt for pair in found.pairs()} == {(Message(role="user", content="How do I boil an egg?"),)}


@pytest.mark.model
def test_a_run_of_the_command_is_the_same(run: solon.Run, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    arguments = ["--constitution", "principles/hhh.yaml", "--prompts", str(file), "--out", str(tmp_path / "x")]
    assert main(["feedback", *arguments, "--engine", "replay"]) == 0
    assert records(solon.open_run(tmp_path / "x")) == records(run)


def test_records_are_whole(run: solon.Run) -> None:
    pairs, votes, failures = records(run)
    assert len(pairs) == run.manifest.counts.pairs > 0
    assert len(votes) == run.manifest.counts.votes
    kinds = [isinstance(record, solon.Failure) for record in failures]
    assert kinds.count(True) == sum(run.manifest.failed.values())
    assert kinds.count(False) == sum(run.manifest.dropped.values())
    pair = next(
        pair for pair in pairs if pair.prompt_id == "given" and "given" in (pair.chosen_origin, pair.rejected_origin)
    )
    assert {vote.prompt_id for vote in pair.votes} == {"given"}
    assert {(vote.a, vote.b) for vote in pair.votes} == {(pair.chosen_id, pair.rejected_id)}
    assert run.constitution == solon.load_constitution("hhh")


def test_the_same_call_again_makes_no_call(tmp_path: Path) -> None:
    first = made(ROWS, tmp_path / "x")
    assert made(iter(ROWS), tmp_path / "x", replay_latency=60.0).manifest == first.manifest


def test_other_prompts_need_another_folder(tmp_path: Path) -> None:
    out = tmp_path / "x"
    made(ROWS[:1], out)
    with pytest.raises(solon.UserError, match="belongs to other prompts; choose another folder, with reuse="):
        made(ROWS, out)
    assert sorted(path.name for path in out.glob("prompts*")) == ["prompts.jsonl"]
    again = made(ROWS, tmp_path / "y", reuse=[out])
    assert again.manifest.calls.reused > 0


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and no run of ours"):
        made(ROWS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_rows_are_written_one_at_a_time(tmp_path: Path) -> None:
    """An iterator that fails leaves no run behind, and the call can be made again."""

    def broken() -> Iterator[str]:
        yield "How do I boil an egg?"
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        made(broken(), tmp_path / "x")
    assert made(ROWS, tmp_path / "x").manifest.counts.prompts == len(ROWS)


def test_a_constitution_made_in_python_is_the_runs(tmp_path: Path) -> None:
    hhh = solon.load_constitution("hhh")
    few = hhh.model_copy(update={"name": "few", "principles": hhh.principles[:3]})
    made_by = solon.run_sync(solon.generate_feedback(few, ROWS, tmp_path / "x", engine="replay", report=False))
    assert made_by.constitution == few


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(solon.UserError, match="is no finished run"):
        solon.open_run(tmp_path)


async def policy(messages: list[dict[str, Any]]) -> str:
    """One of two texts, in turn, so that samples of a prompt differ."""
    TURNS.append(messages[-1]["content"])
    return f"Answer {len(TURNS)} to: {messages[-1]['content']}"


async def judge(messages: list[dict[str, Any]]) -> float | str:
    return 0.7


TURNS: list[str] = []


def test_functions_play_policy_and_judge(tmp_path: Path) -> None:
    plan = {"rounds": 0, "controls": 0, "principles": 2}
    making = solon.generate_feedback(
        "hhh", ["Say hello."], tmp_path / "x", policy=policy, judge=judge, plan=plan, report=False
    )
    run = solon.run_sync(making)
    assert TURNS == ["Say hello.", "Say hello."]
    assert {response.text for response in run.responses()} == {f"Answer {n} to: Say hello." for n in (1, 2)}
    assert {round(vote.bias, 4) for vote in run.votes() if vote.method == "compare"} == {0.8473}
    assert "function:" in (tmp_path / "x" / "run.yaml").read_text()
