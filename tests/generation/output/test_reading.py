"""What is written is read again as it was; a file without a column is refused with the fix."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import generate_feedback
from constitution.errors import UserError
from constitution.principles import Constitution, Principle
from constitution.records import (
    Critique,
    Dropped,
    Failure,
    Function,
    Message,
    PreferencePair,
    Prompt,
    Response,
    ToolCall,
    Vote,
)
from generation.output import reading
from generation.output.dataset import DatasetWriter
from generation.output.reading import Candidate, ControlVote, Pair, Target, TrainingPair
from generation.output.records import ControlOutcome, Feedback
from generation.output.run import Run, open_run

LAWS = """name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: short, objective: good, text: Be short., check: {max_words: 9}}
"""


# every field differs from every other, so that a column read into another's place is seen
ASKED = Prompt(
    id="p",
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why?")),
    tags=("hard", "odd"),
    tools=({"type": "function", "function": {"name": "look", "parameters": {"at": None}}},),
    metadata='{"lang": "en"}',
)
CALL = ToolCall(function=Function(name="look", arguments={"at": "sky"}), id="call-1")
GOOD = Response(
    "p/s0/r0", "p", Message(role="assistant", content="good", tool_calls=(CALL,)), "revised", "raw good", "p/s0",
    ("kind", "brief"), True, "big",
)  # fmt: skip
BAD = Response("p/s1", "p", Message(role="assistant", content="bad"), "sampled", "raw bad")
VOTES = (
    Vote("p", GOOD.id, BAD.id, "kind", 1.5, -0.5, "compare", "judge"),
    Vote("p", GOOD.id, BAD.id, "brief", 0.25, 0.75, "reasoned", "other", censored=True),
)
CRITIQUES = (Critique("p", BAD.id, "kind", "It is bad.", True), Critique("p", GOOD.id, "brief", "", False))
FAILED = Failure("p", "revise", "empty", "no text came", "p/s2")
LEFT_OUT = Dropped("p", "compare", "tie", "0.0 apart", "p/s3 vs p/s4")
CONTROL = ControlOutcome("arithmetic", (Vote("control-0", "c/a", "c/b", "kind", 3.0, 1.0, "score", "third"),), (), True)
CONSTITUTION = Constitution(
    name="laws",
    version=1,
    objectives={"good": 1.0, "calm": 0.5},
    principles=(
        Principle(id="kind", objective="good", text="Be kind."),
        Principle(id="brief", objective="calm", text="Be brief."),
    ),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One prompt with a record of every kind, in the train split."""
    folder = tmp_path_factory.mktemp("written")
    writer = DatasetWriter(folder, CONSTITUTION, "judge-model", 0.0, tools=True)
    pair = PreferencePair("p", GOOD, BAD, 0.75, {"good": 2.0}, VOTES)
    writer.write(
        Feedback(
            ASKED,
            (GOOD, BAD),
            CRITIQUES,
            votes=VOTES,
            pairs=(pair,),
            targets=(GOOD,),
            failures=(FAILED,),
            dropped=(LEFT_OUT,),
        )
    )
    writer.write_controls([CONTROL])
    writer.close()
    return folder


def test_each_column_is_read_into_its_field(written: Path) -> None:
    digest, p = CONSTITUTION.digest, 1 / (1 + math.exp(-0.75))
    preferences = written / "data" / "preferences" / "train.parquet"
    (pair,) = reading.read_pairs(preferences, "train")
    assert pair == Pair(
        ASKED.messages, GOOD.message, BAD.message, p, 0.75, "panel", "p", GOOD.id, BAD.id, "revised", "sampled", "big", None, True, False,
        {"good": 2.0, "calm": None}, VOTES, ASKED.tools, ASKED.tags, ASKED.metadata, digest, "judge-model", "train",
    )  # fmt: skip
    (row,) = reading.read_training_pairs(preferences, "test")
    assert row == TrainingPair(
        ASKED.messages,
        GOOD.message,
        BAD.message,
        p,
        "p",
        True,
        False,
        ASKED.tools,
        ASKED.tags,
        ASKED.metadata,
        digest,
        "test",
    )
    (target,) = reading.read_targets(written / "data" / "sft" / "train.parquet", "train")
    assert target == Target(
        ASKED.messages,
        GOOD.message,
        "p",
        GOOD.id,
        "revised",
        "big",
        ASKED.tools,
        ASKED.tags,
        ASKED.metadata,
        digest,
        "train",
    )
    candidates = [*reading.read_candidates(written / "responses.parquet")]
    assert candidates == [
        Candidate(
            GOOD.id, "p", "revised", "big", "p/s0", "good", "raw good", (CALL,), ("kind", "brief"), ASKED.tags, (), True
        ),
        Candidate(BAD.id, "p", "sampled", None, None, "bad", "raw bad", (), (), ASKED.tags, (), False),
    ]
    assert [one.message for one in candidates] == [GOOD.message, BAD.message]
    assert tuple(reading.read_critiques(written / "critiques.parquet")) == CRITIQUES
    assert tuple(reading.read_votes(written / "votes.parquet")) == VOTES
    assert [*reading.read_failures(written / "failures.parquet")] == [FAILED, LEFT_OUT]
    (control,) = reading.read_controls(written / "controls.parquet")
    assert control == ControlVote(CONTROL.votes[0], "arithmetic", True)


def test_votes_come_in_columns(written: Path) -> None:
    path = written / "votes.parquet"
    voters = [("judge", "compare", "kind"), ("other", "reasoned", "brief")]
    assert reading.count_voters(path) == dict.fromkeys(voters, 1)
    (piece,) = reading.vote_columns(path, voters[::-1])
    assert piece.voter.tolist() == [1, 0]
    assert piece.pair.tolist() == [0, 0]
    assert piece.value.tolist() == [1.0, -0.25]
    assert piece.bias.tolist() == [0.5, 0.5]
    assert piece.position_inconsistent.tolist() == [False, True]


def test_prompts_are_read_once_where_their_rows_follow_each_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS", 2)  # a prompt's rows are divided between pieces
    rows = 0
    for split, path in reading.split_files(run.folder, "preferences"):
        pairs = [pair for pair in run.pairs() if pair.split == split]
        assert [*reading.read_prompt_ids(path)] == [pair.prompt_id for pair in pairs]
        prompts = [*reading.read_prompts(path)]
        turns = {pair.prompt_id: [(message.role, message.content) for message in pair.prompt] for pair in pairs}
        assert prompts == [*turns.items()]
        rows = max(rows, len(pairs) - len(prompts))
    assert rows > 4, "a split has prompts of several pairs, in more than one piece"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text(
        "".join(f'{{"prompt": "Question {i}?", "tags": ["t{i}"]}}\n' for i in range(6)) + "x\n"
    )
    files = ["--constitution", folder / "c.yaml", "--prompts", folder / "p.jsonl", "--out", folder / "out"]
    given = [*map(str, files), "--engine", "replay", "--set", "plan.pairs=all_pairs", "--set", "test_fraction=0.5"]
    assert generate_feedback.main(given) == 0
    return open_run(folder / "out")


def test_every_record_is_read(run: Run) -> None:
    counts = run.manifest.counts
    pairs, votes = [*run.pairs()], [*run.votes()]
    assert (len(pairs), len(votes)) == (counts.pairs, counts.votes)
    assert len([*run.responses()]) == counts.responses
    assert len([*run.critiques()]) == counts.critiques
    assert sum(isinstance(record, Failure) for record in run.failures()) == sum(run.manifest.failed.values())
    assert sum(isinstance(record, Dropped) for record in run.failures()) == sum(run.manifest.dropped.values())
    assert {pair.split for pair in pairs} == {"train", "test"}
    assert run.constitution.digest == run.manifest.digests.constitution == pairs[0].constitution_digest


def test_a_pair_has_its_responses_and_votes(run: Run) -> None:
    candidates = {candidate.id: candidate for candidate in run.responses()}
    asked = {(vote.a, vote.b, vote.voter): vote for vote in run.votes()}
    for pair in run.pairs():
        assert pair.chosen == Message(role="assistant", content=candidates[pair.chosen_id].text)
        assert (pair.prompt[-1].role, candidates[pair.rejected_id].origin) == ("user", pair.rejected_origin)
        assert candidates[pair.chosen_id].tags == (f"t{pair.prompt[-1].content[-2]}",)
        for vote in pair.votes:
            assert vote in (asked.get((vote.a, vote.b, vote.voter)), _swapped(asked, vote))


def _swapped(asked: dict[tuple[str, str, str], Vote], vote: Vote) -> Vote | None:
    found = asked.get((vote.b, vote.a, vote.voter))
    return found.swapped() if found else None


def test_targets_and_controls_are_read(run: Run) -> None:
    candidates = {candidate.id: candidate for candidate in run.responses()}
    targets = [*run.targets()]
    assert targets
    for target in targets:
        response = candidates[target.response_id]
        assert (target.completion.content, target.origin) == (response.text, response.origin)
    controls = [*reading.read_controls(run.folder / "controls.parquet")]
    assert {control.vote.prompt_id for control in controls} == {
        f"control-{i}" for i in range(run.manifest.controls.asked)
    }
    right = {control.vote.prompt_id for control in controls if control.right}
    assert len(right) == run.manifest.controls.right


def test_a_file_without_a_column_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "votes.parquet"
    pq.write_table(pq.read_table(run.folder / "votes.parquet").drop_columns(["judge", "method"]), path)
    with pytest.raises(
        UserError, match=r"votes\.parquet: has no column judge, method; run generate_feedback\.py again"
    ):
        next(reading.read_votes(path))
    with pytest.raises(UserError, match=r"none\.parquet: cannot be read"):
        next(reading.read_votes(tmp_path / "none.parquet"))


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"is no finished run \(no manifest.json\); run the command that began it again"
    ):
        open_run(tmp_path)


def test_a_file_is_read_from_any_row_in_tables_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"n": list(range(25))}), path, row_group_size=7)
    for first in range(27):
        for size in (1, 5, 7, 10, 100):
            found = [table["n"].to_pylist() for table in reading.tables(path, size=size, first=first)]
            rows = list(range(first, 25))
            assert found == [rows[i : i + size] for i in range(0, len(rows), size)]
    assert [row["n"] for row in reading.rows(path, first=20)] == [20, 21, 22, 23, 24]
