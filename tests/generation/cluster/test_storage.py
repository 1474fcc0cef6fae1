"""Files in a storage: whole or not at all, on a disk and behind an address."""

import os
import shutil
from pathlib import Path

import pytest

from generation.cluster.storage import TEMPORARY, Storage, StorageError


@pytest.fixture(params=["disk", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "there") if request.param == "disk" else f"memory://{tmp_path.name}")


def test_files_and_folders_go_and_come_back(storage: Storage, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "data").mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    (run / "data" / "a.parquet").write_bytes(b"\x00\x01")
    assert storage.names() == []
    assert storage.put_folder(run, "part", last="data/a.parquet") == ["data/a.parquet", "manifest.json"]
    assert storage.files("part") == ["data/a.parquet", "manifest.json"]
    assert storage.names() == ["part"]
    storage.get_folder("part", tmp_path / "back")
    assert (tmp_path / "back" / "data" / "a.parquet").read_bytes() == b"\x00\x01"
    storage.write("part/manifest.json", "other", tmp_path / "scratch")
    assert storage.read("part/manifest.json") == "other"
    assert storage.read("part/none") is None
    assert storage.files("none") == []
    assert not storage.get("none", tmp_path / "none")
    storage.remove("part")
    storage.remove("part")
    assert storage.files() == []
    assert not any(tmp_path.rglob(f"*{TEMPORARY}"))


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path / "there"))
    storage.write("a", "old", tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match=r"cannot take a \(.*No space left on device"):
        storage.write("a", "new", tmp_path)
    assert storage.read("a") == "old"
    assert os.listdir(tmp_path / "there") == ["a"]


def test_a_storage_that_is_away_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    storage = Storage(str(tmp_path / "file" / "there"))
    with pytest.raises(StorageError, match="cannot take x"):
        storage.put(tmp_path / "file", "x")
