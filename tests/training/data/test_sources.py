"""Rows from every kind of source, and what is said where there are none."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from benchmarks.tiny import some_pairs
from constitution.errors import UserError
from constitution.records import Message
from generation.data.record import BadRow
from generation.output.reading import Target, TrainingPair
from tests.training.small_run import LAWS, write_run
from training.data.sources import read

Written = Callable[[Path], Path]
ROWS = [{"prompt": f"Question {i}", "chosen": "yes", "rejected": "no"} for i in range(6)]


def lines() -> str:
    return "".join(json.dumps(row) + "\n" for row in ROWS)


def jsonl(folder: Path) -> Path:
    (folder / "rows.jsonl").write_text(lines())
    return folder / "rows.jsonl"


def gzipped(folder: Path) -> Path:
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines().encode()))
    return folder / "rows.jsonl.gz"


def parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    return folder / "rows.parquet"


def saved(folder: Path) -> Path:
    Dataset.from_list(ROWS).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def saved_splits(folder: Path) -> Path:
    parts = {"train": Dataset.from_list(ROWS[:4]), "test": Dataset.from_list(ROWS[4:])}
    DatasetDict(parts).save_to_disk(str(folder / "splits"))
    return folder / "splits"


def parquet_folder(folder: Path) -> Path:
    (folder / "data").mkdir()
    for name, rows in (("train", ROWS[:4]), ("test", ROWS[4:])):
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder / "data"


def other_splits(folder: Path) -> Path:
    parts = {"train_prefs": Dataset.from_list(ROWS[:4]), "test_prefs": Dataset.from_list(ROWS[4:])}
    DatasetDict(parts).save_to_disk(str(folder / "others"))
    return folder / "others"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` keeps what it loads out of the user's cache."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))


@pytest.mark.parametrize("write", [jsonl, gzipped, parquet, saved, saved_splits, parquet_folder, other_splits])
def test_rows_come_from_every_kind_of_source(write: Written, tmp_path: Path) -> None:
    found = list(read(str(write(tmp_path)), "preferences"))
    assert [raw.row for raw in found] == ROWS
    splits = [raw.split for raw in found]
    assert splits == (["train"] * 4 + ["test"] * 2 if write in (saved_splits, parquet_folder) else [""] * 6)


@pytest.mark.parametrize("write", [jsonl, parquet, saved_splits])
def test_a_limit_is_of_each_split(write: Written, tmp_path: Path) -> None:
    found = [raw.row for raw in read(str(write(tmp_path)), "preferences", limit=1)]
    assert found == ([ROWS[0], ROWS[4]] if write is saved_splits else [ROWS[0]])


def test_a_row_names_its_place(tmp_path: Path) -> None:
    path = jsonl(tmp_path)
    path.write_text("\n" + path.read_text())  # blank lines count, as in an editor
    assert [raw.place for raw in read(str(path), "preferences")][:2] == [f"{path}:2", f"{path}:3"]
    folder = saved_splits(tmp_path)
    assert [raw.place for raw in read(str(folder), "preferences")][3:5] == [f"{folder}/train:4", f"{folder}/test:1"]


def test_a_run_gives_its_pairs_and_its_targets(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    pairs, targets = list(read(str(run), "preferences")), list(read(str(run), "sft"))
    assert len(pairs) == len(targets) == 20
    assert {raw.split for raw in pairs} == {"train", "test"}
    pair, target = pairs[0].row, targets[0].row
    assert isinstance(pair, TrainingPair)
    assert pair.p_chosen == pytest.approx(0.668, abs=1e-3)
    assert (pair.chosen.content, pair.rejected.content) == ("it scatters light", "nobody knows")
    assert isinstance(target, Target)
    assert target.completion == Message(role="assistant", content="it scatters light")
    assert pairs[0].constitution == targets[0].constitution == LAWS.digest


def no_manifest(folder: Path) -> Path:
    (write_run(folder / "run") / "manifest.json").unlink()
    (folder / "run" / "run.yaml").write_text("{}")
    return folder / "run"


def half_a_manifest(folder: Path) -> Path:
    path = write_run(folder / "run") / "manifest.json"
    path.write_text(path.read_text()[:50])
    return folder / "run"


def no_pairs(folder: Path) -> Path:
    (write_run(folder / "run") / "data" / "preferences" / "train.parquet").unlink()
    return folder / "run"


def other_columns(folder: Path) -> Path:
    path = write_run(folder / "run") / "data" / "preferences" / "train.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["p_chosen"]), path)
    return folder / "run"


def damaged(folder: Path) -> Path:
    path = parquet(folder)
    path.write_bytes(path.read_bytes()[:100])
    return path


def text(name: str, content: str) -> Written:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


def cut_gzip(folder: Path) -> Path:
    path = gzipped(folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            no_manifest, "is no finished run (no manifest.json); run the command that began it", id="not-whole"
        ),
        pytest.param(half_a_manifest, "manifest.json: is damaged", id="half-a-manifest"),
        pytest.param(no_pairs, "train.parquet: is missing; run the `solon feedback` command", id="no-pairs"),
        pytest.param(other_columns, "train.parquet: is not as the run wrote it", id="other-columns"),
        pytest.param(damaged, "rows.parquet: is not parquet", id="damaged-parquet"),
        pytest.param(cut_gzip, "rows.jsonl.gz: cannot be read", id="cut-gzip"),
        pytest.param(text("a.txt", "a,b"), "got the ending '.txt'; allowed: .jsonl", id="ending"),
        pytest.param(lambda f: f / "gone", "no such file or folder; allowed: .jsonl", id="gone"),
        pytest.param(lambda f: f / "gone.jsonl", "no such file or folder", id="gone-file"),
        pytest.param(empty_folder, "is no dataset (no .jsonl", id="empty-folder"),
    ],
)
def test_what_cannot_be_read_says_so(write: Written, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        list(read(str(write(tmp_path)), "preferences"))
    assert message in str(told.value)
    assert str(tmp_path) in str(told.value)


def test_a_row_that_is_none_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a"\n[1]\n')
    _, half, no_object = read(str(path), "preferences")
    assert isinstance(half.row, BadRow)
    assert isinstance(no_object.row, BadRow)
    assert str(half.row.at(half.place)).startswith(f"{path}:2: is not JSON (")
    assert str(no_object.row.at(no_object.place)).startswith(f"{path}:3: got [1]; allowed: an object")


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("question,chosen,rejected\nWhy?,So.,No.\n")
    (raw,) = read(str(path), "preferences", given={"prompt": "question"})
    assert raw.row == {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    with pytest.raises(UserError, match=r"--map prompt=qestion: .*has no column qestion \(did you mean question\?\)"):
        list(read(str(path), "preferences", given={"prompt": "qestion"}))


@pytest.mark.parametrize("name", ["pairs", "some/folder/pairs", "./pairs", "some/pairs.jsonl"])
def test_what_is_no_hub_id_is_not_looked_for_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        list(read(name, "preferences"))


def test_rows_are_read_as_they_are_needed(write_rows: Callable[..., Path]) -> None:
    """A file is not read beyond the limit: what is wrong further down does not matter."""
    path = write_rows(some_pairs(3))
    path.write_text(path.read_text() + "not JSON\n")
    assert len(list(read(str(path), "preferences", limit=3))) == 3
