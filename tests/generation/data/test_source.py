"""Splits, configs and places of what is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from constitution.errors import UserError
from generation.data.prompts import inspect, read
from generation.data.source import source, source_digest


def write(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return path


def texts(spec: str) -> list[str]:
    return [row.messages[0].content for row in read(spec)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"), ("train-00000-of-00002.jsonl", "train"), ("train_prefs-00001-of-00002.jsonl", "train_prefs"),
        ("train_1.jsonl", "train"), ("test/a.jsonl", "test"), ("Validation.jsonl", "validation"), ("trainer.jsonl", ""),
        ("a.jsonl", ""),
    ],
)  # fmt: skip
def test_names_of_files_say_their_split(name: str, split: str, tmp_path: Path) -> None:
    write(tmp_path / "test_set" / name, "a")
    assert list(source(str(tmp_path / "test_set")).splits) == [split]


def test_train_is_read_of_several_and_another_where_it_is_named(tmp_path: Path) -> None:
    for split in ("test", "train", "train_sft"):
        write(tmp_path / f"{split}.jsonl", split)
    found = inspect(str(tmp_path))
    assert found.notes == (
        f"the split train is read, of train, test, train_sft; to read another, name it as in {tmp_path}@test",
    )
    assert (texts(str(tmp_path)), texts(f"{tmp_path}@train_sft")) == (["train"], ["train_sft"])
    with pytest.raises(
        UserError, match=r"has no split train_sf \(did you mean train_sft\?\); allowed: train, test, train_sft"
    ):
        texts(f"{tmp_path}@train_sf")


class Streams:
    """Two splits, as the hub's client streams them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any, **more: Any) -> dict[str, Any]:
        self.asked.append((*arguments, more))
        return {
            name: datasets.Dataset.from_list([{"prompt": name}]).to_iterable_dataset() for name in ("train", "test")
        }


@pytest.mark.parametrize(
    ("spec", "config", "split"),
    [
        ("some/set", None, "train"), ("some/set@test", None, "test"), ("some/set:main", "main", "train"),
        ("some/set:main@test", "main", "test"),
    ],
)  # fmt: skip
def test_a_hub_id_names_config_and_split(
    spec: str, config: str | None, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", streams)
    assert texts(spec) == [split]
    assert streams.asked[0] == ("some/set", config, {"streaming": True})


def test_a_row_of_a_folder_names_its_file(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.jsonl", "a", ""), write(tmp_path / "b.jsonl", "b")
    (failure,) = inspect(str(tmp_path)).first
    assert failure.detail.startswith(f"{first}:2: ")
    assert source_digest(str(tmp_path)) != source_digest(str(second))


def test_a_file_system_that_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> Iterator[None]:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(
        UserError, match=r"s3://b/a.jsonl: needs another package \(Install s3fs to access S3\); install it"
    ):
        texts("s3://b/a.jsonl")


def test_remote_folders_have_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", "a")
    write(tmp_path / "test.jsonl", "b")
    assert texts(f"file://{tmp_path}") == ["a"]
    assert texts(f"file://{tmp_path}/test.jsonl") == ["b"]
