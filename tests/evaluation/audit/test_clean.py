"""The run without doubtful rows: a run folder of its own, which everything takes."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

import generate_feedback
from constitution.errors import UserError
from evaluation.__main__ import main
from evaluation.audit.clean import NOTE, write_clean
from generation.output import manifest
from generation.output.files import file_sha256
from generation.output.manifest import Manifest
from generation.output.records import Feedback
from generation.output.run import open_run
from training.data.sources import read as read_data

CONSTITUTION = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: brief, objective: good, text: Be brief., check: {max_words: 5}}
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with critiques, failures, and a prompt that nearly repeats another."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "laws.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"Tell me all about the number {i * i} and its neighbours."} for i in range(12)]
    rows += [{"prompt": "Tell me all about the number 0 and its neighbours!"}, {"prompt": ""}]
    (folder / "p.jsonl").write_text("".join(json.dumps({"id": f"p{i}", **row}) + "\n" for i, row in enumerate(rows)))
    arguments = ["--constitution", folder / "laws.yaml", "--prompts", folder / "p.jsonl", "--out", folder / "run"]
    assert generate_feedback.main([*map(str, arguments), "--engine", "replay", "--set", "test_fraction=0.3"]) == 0
    return folder / "run"


@pytest.mark.model
def test_a_clean_copy_is_a_whole_run_of_the_other_prompts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, clean = files(run), tmp_path / "clean"
    assert main(["audit", str(run), "--out", str(tmp_path / "page.html"), "--clean", str(clean)]) == 0
    assert files(run) == before
    opened, original = open_run(clean), open_run(run)
    assert capsys.readouterr().err == ""
    known = opened.manifest
    assert known.source is not None
    assert known.source.model_dump() == {
        "run": "run", "manifest": file_sha256(run / "manifest.json"), "prompts_left_out": 1,
    }  # fmt: skip
    assert set(files(clean)) == set(known.files) | {"manifest.json"}
    assert set(known.files) == (set(original.manifest.files) | {NOTE})
    assert json.loads((clean / NOTE).read_text())["prompts"].keys() == {"p12"}
    for name in ("responses", "critiques", "votes", "pairs", "targets"):
        mine, all_of_it = list(getattr(opened, name)()), list(getattr(original, name)())
        assert mine == [record for record in all_of_it if record.prompt_id != "p12"]
        assert len(mine) == getattr(known.counts, name)
    assert {record.prompt_id for record in original.votes()} > {"p12"}
    assert known.counts.comparisons == len({(vote.prompt_id, vote.a, vote.b) for vote in opened.votes()})
    assert known.counts.revisions == sum(one.origin == "revised" for one in opened.responses())
    assert known.outcomes.model_dump() == {"pairs": 12, "dropped": 0, "failed": 1}
    assert known.counts.prompts == 13
    assert known.failed == original.manifest.failed
    loaded = datasets.load_dataset(str(clean), "preferences", cache_dir=str(tmp_path / "cache"))
    assert sum(split.num_rows for split in loaded.values()) == known.counts.pairs
    assert len([*read_data(str(clean), "preferences")]) == known.counts.pairs
    card = (clean / "README.md").read_text()
    assert "A copy of the run `run` without 1 of its prompts" in card
    assert "Audit of clean" in (clean / "report.html").read_text()
    assert main(["audit", str(clean)]) == 0
    for name in known.files:
        if name.endswith(".parquet"):
            assert pq.read_schema(clean / name) == pq.read_schema(run / name)


@pytest.mark.model
def test_a_split_that_is_left_out_whole_is_no_file(run: Path, tmp_path: Path) -> None:
    held_out = {pair.prompt_id: "unwanted" for pair in open_run(run).pairs() if pair.split == "test"}
    held_out |= {target.prompt_id: "unwanted" for target in open_run(run).targets() if target.split == "test"}
    assert held_out
    cleaned = write_clean(run, tmp_path / "clean", held_out, manifest.whole(run))
    assert not [name for name in cleaned.files if "test" in name]
    assert not [*(tmp_path / "clean").rglob("test.parquet")]
    assert cleaned.outcomes.pairs == manifest.whole(run).outcomes.pairs - len(held_out)


def test_a_clean_copy_needs_a_new_folder(
    tmp_path: Path, write_run: Callable[..., Manifest], outcome: Callable[..., Feedback]
) -> None:
    run = tmp_path / "run"
    known = write_run(run, [outcome(0)])
    (tmp_path / "file").touch()
    for folder, message in (
        (run / "clean", "is in the run itself"),
        (run, "is in the run itself"),
        (tmp_path, "is there already"),
        (tmp_path / "file", "is there already"),
    ):
        with pytest.raises(UserError, match=f"--clean {folder}: {message}"):
            write_clean(run, folder, {}, known)
