"""The folder of runs on a cluster among a machine's temporary files, which several users may share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from generation.request import FeedbackSettings
from generation.temporary import cluster_folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this user's folder is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"solon-ray-{os.getuid()}"


def test_each_user_has_one_that_nobody_else_can_read(place: Path) -> None:
    before = os.umask(0)
    try:
        assert cluster_folder() == place
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o700
    (place / "calls").write_text("paid for")
    assert cluster_folder() == place, "it is there the next time"
    assert (place / "calls").read_text() == "paid for"


def test_a_run_for_an_address_is_made_there(place: Path) -> None:
    settings = FeedbackSettings(
        constitution=Path("hhh"), prompts="p.jsonl", out="s3://bucket/run", ray="local", shards=2
    )
    assert settings.folder.is_relative_to(place)


def make_link(place: Path) -> None:
    (place.parent / "theirs").mkdir()
    place.symlink_to(place.parent / "theirs")


def make_open(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def make_file(place: Path) -> None:
    place.write_text("")


@pytest.mark.parametrize("make", [make_link, make_open, make_file, lambda place: place.symlink_to("nowhere")])
def test_what_others_could_write_to_is_refused(place: Path, make: object) -> None:
    assert callable(make)
    make(place)
    with pytest.raises(PermissionError, match="folder of this user alone; remove it, or set TMPDIR") as caught:
        cluster_folder()
    assert caught.value.filename == str(place)


def test_another_users_folder_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    theirs = place.parent / f"solon-ray-{own + 1}"
    theirs.mkdir(mode=0o700)
    with pytest.raises(PermissionError, match="this user alone"):
        cluster_folder()
