"""What is written is read again as it was; a file without a column is refused with the fix."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import generate_feedback
from constitution.errors import UserError
from constitution.records import Dropped, Failure, Message, Vote
from generation.output import reading
from generation.output.run import Run, open_run

LAWS = """name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: short, objective: good, text: Be short., check: {max_words: 9}}
"""


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
    revised = {target.response_id: target for target in run.targets()}
    assert revised
    assert all(target.origin == "revised" and target.completion.content for target in revised.values())
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
    with pytest.raises(UserError, match=r"is no finished run; run the command that began it again"):
        open_run(tmp_path)
