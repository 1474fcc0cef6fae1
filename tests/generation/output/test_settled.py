"""Outcomes that are kept: equal to what was made, for the same state alone, and never where the next start may do better."""

import asyncio
import json
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from constitution.records import Failure, Message, Prompt, Response, Vote
from generation.calls.store import CallStore
from generation.output.files import read_sealed, write_sealed
from generation.output.folder import INSPECTED
from generation.output.manifest import Digests
from generation.output.records import Feedback
from generation.output.settled import Inspected, Settled
from generation.pipeline.job import prepare, produce
from generation.request import FeedbackSettings

DIGESTS = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
PROMPT = Prompt(
    id="p",
    messages=(Message(role="user", content="Why?"),),
    tools=({"name": "x", "deep": {"a": [1, None, 2.5]}},),
    tags=("t",),
)
A, B = (
    Response(f"p/s{i}", "p", Message(role="assistant", content=t), "sampled", t, truncated=True)
    for i, t in enumerate("ab")
)
VOTE = Vote("p", "p/s0", "p/s1", "kind", 0.1 + 0.2, -1e-17, censored=True)
WHOLE = Feedback(
    PROMPT, (A, B), comparisons=1, votes=(VOTE, replace(VOTE, logit_ab=math.inf)), targets=(A,),
    failures=(Failure("p", "compare", "verdict_missing", "x"),),
)  # fmt: skip


def store(path: Path) -> CallStore:
    return CallStore(path / "c.sqlite")


def kept(path: Path, outcome: Feedback, prompt: Prompt = PROMPT, **state: object) -> Feedback | None:
    first = store(path)
    Settled(first, DIGESTS, ["x"], again=False).put(outcome)
    first.close()
    second = store(path)
    again = bool(state.pop("again", False))
    found = list(map(str, state.pop("found", ["x"])))  # type: ignore[call-overload]
    known = Settled(second, DIGESTS.model_copy(update=state), found, again).get(prompt)
    second.close()
    return known


def test_what_is_read_is_what_was_made(tmp_path: Path) -> None:
    assert kept(tmp_path, WHOLE) == WHOLE


@pytest.mark.parametrize(
    "state", [{"settings": "other"}, {"templates": "other"}, {"found": ["y"]}, {"again": True}], ids=str
)
def test_in_another_state_it_is_made_anew(state: dict[str, object], tmp_path: Path) -> None:
    assert kept(tmp_path, WHOLE, **state) is None


def test_another_prompt_of_the_same_id_is_another_prompt(tmp_path: Path) -> None:
    assert kept(tmp_path, WHOLE, PROMPT.model_copy(update={"tags": ()})) is None


@pytest.mark.parametrize("reason", ["unavailable", "internal_error", "server_refused", "bad_answer"])
def test_what_may_pass_is_not_kept(reason: str, tmp_path: Path) -> None:
    assert kept(tmp_path, replace(WHOLE, failures=(Failure("p", "engine", reason),))) is None


@pytest.mark.parametrize("reason", ["verdict_missing", "server_refused"])
def test_a_shard_keeps_how_it_ended_for_the_run_that_is_merged_from_it(reason: str, tmp_path: Path) -> None:
    ended = replace(WHOLE, failures=(Failure("p", "engine", reason),))
    first = store(tmp_path)
    Settled(first, DIGESTS.model_copy(update={"shard": "0/2"}), ["x"], again=False, ended=True).put(ended)
    first.close()
    again = store(tmp_path)
    assert Settled(again, DIGESTS, ["x"], again=False).get(PROMPT) == (ended if reason == "verdict_missing" else None)
    again.close()
    whole = CallStore(tmp_path / "all.sqlite", reuse=[tmp_path / "c.sqlite"])
    merged = Settled(whole, DIGESTS, ["x"], again=False, parts=[0])
    assert merged.get(PROMPT) is None, "a run that merely reuses calls makes its outcomes from them"
    assert merged.merged(PROMPT) == ended
    assert merged.merged(PROMPT.model_copy(update={"id": "q"})) is None
    whole.close()


def test_half_a_character_is_not_kept_and_harms_nothing(tmp_path: Path) -> None:
    odd = Response("p/s0", "p", Message(role="assistant", content="x"), "sampled", "\ud83d")
    assert kept(tmp_path, replace(WHOLE, candidates=(odd,))) is None


def change(path: Path, statement: str) -> None:
    """Change a finished run's calls, and make it an unfinished one."""
    with closing(sqlite3.connect(path / "calls.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    (path / "manifest.json").unlink()


def test_a_restart_looks_at_no_call_of_a_settled_prompt_and_comes_to_the_same(tmp_path: Path) -> None:
    laws = (
        "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
    )
    (tmp_path / "c.yaml").write_text(laws)
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(6)))
    settings = FeedbackSettings(
        constitution=tmp_path / "c.yaml", prompts=str(tmp_path / "p.jsonl"), out=tmp_path / "run", engine="replay",
        overrides=("plan.controls=0",),
    )  # fmt: skip
    first = asyncio.run(produce(prepare(settings)))
    change(tmp_path / "run", "UPDATE outcomes SET state = x'00'")  # as of another version
    read_again = asyncio.run(produce(prepare(settings)))
    assert (read_again.files, read_again.calls, read_again.tokens) == (first.files, first.calls, first.tokens)
    change(tmp_path / "run", "DELETE FROM calls")
    kept = asyncio.run(produce(prepare(settings)))
    assert kept.calls.made == 0
    data = [{name: sha for name, sha in run.files.items() if name.endswith(".parquet")} for run in (kept, first)]
    assert (data[0], kept.counts) == (data[1], first.counts)
    change(tmp_path / "run", "DELETE FROM outcomes")
    made_again = asyncio.run(produce(prepare(settings)))
    assert (made_again.calls, made_again.files) == (first.calls, first.files)


ROWS = '{"id": 1, "prompt": "Why?", "tags": ["t"], "more": 2}\n{"id": 2, "prompt": ""}\n'


def test_what_was_found_of_the_prompts_is_kept_for_that_very_file(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(ROWS)
    found = Inspected.of(tmp_path, str(file), None, ())
    found.keep(tmp_path)
    assert Inspected.of(tmp_path, str(file), None, ()) == found
    forged = found._replace(info=replace(found.info, rows=99))
    forged.keep(tmp_path)
    assert Inspected.of(tmp_path, str(file), None, ()).info.rows == 99, "it was read again"
    assert Inspected.of(tmp_path, str(file), 1, ()).info.rows == 1
    assert Inspected.of(tmp_path, str(file), None, ("system=more",)).info.ignored == ()
    file.write_text(ROWS * 2)
    assert Inspected.of(tmp_path, str(file), None, ()).info.rows == 4
    file.write_text(ROWS)
    with (tmp_path / INSPECTED).open("a") as kept_file:
        kept_file.write("x")
    assert Inspected.of(tmp_path, str(file), None, ()) == found, "damaged, and believed"


def test_what_is_no_local_file_is_inspected_at_each_start(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.jsonl").write_text(ROWS)
    found = Inspected.of(tmp_path, str(folder), None, ())
    found.keep(tmp_path)
    assert not (tmp_path / INSPECTED).exists()
    (folder / "b.jsonl").write_text(ROWS)
    assert Inspected.of(tmp_path, str(folder), None, ()).info.rows == 4


def test_a_second_start_takes_what_the_first_found_of_the_prompts(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
    )
    (tmp_path / "p.jsonl").write_text(ROWS)
    settings = FeedbackSettings(
        constitution=tmp_path / "c.yaml", prompts=str(tmp_path / "p.jsonl"), out=tmp_path / "run", engine="replay",
        overrides=("plan.controls=0",),
    )  # fmt: skip
    asyncio.run(produce(prepare(settings)))
    kept_file = tmp_path / "run" / INSPECTED
    text = read_sealed(kept_file)
    write_sealed(kept_file, text.replace('"rows":2', '"rows":7'))
    assert prepare(settings).info.rows == 7
