"""Folders for what is not finished: whose they are, and when they are gone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from generation import scratch
from generation.scratch import Scratch
from tests.forks import kill, start, wait_until


def hold(parent: Path) -> int:
    """A process that never ends by itself."""
    held = Scratch(parent, "x")
    (held.path / "weights").write_text("many")
    time.sleep(600)
    return 0


def test_a_folder_is_its_users_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    with Scratch(tmp_path, "x") as one, Scratch(tmp_path, "x", "token") as other:
        assert one.path.is_dir()
        assert one.path.stat().st_mode & 0o777 == 0o700
        assert other.path == tmp_path / "x-token"
        (other.path / "file").write_text("")
    assert [*tmp_path.iterdir()] == []


def test_it_is_gone_with_its_object_and_may_be_taken_away(tmp_path: Path) -> None:
    one = Scratch(tmp_path, "x")
    one.path.rename(tmp_path / "kept")
    del one
    assert [*tmp_path.iterdir()] == [tmp_path / "kept"]


def test_what_a_killed_process_left_goes_with_the_next_and_what_others_hold_stays(tmp_path: Path) -> None:
    process = start(hold, tmp_path, log=tmp_path / "log")
    wait_until(lambda: [*tmp_path.glob("x-*/weights")], process)
    (left,) = tmp_path.glob("x-*/")
    Scratch(tmp_path, "x").close()
    assert (left / "weights").exists(), "its process lives"
    kill(process)
    Scratch(tmp_path, "y").close()
    assert (left / "weights").exists(), "it has another name"
    with Scratch(tmp_path, "x") as own:
        assert {*tmp_path.glob("x-*")} == {own.path, Path(f"{own.path}.lock")}


def test_a_link_in_the_place_of_a_lock_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "x-1.lock").symlink_to(tmp_path / "mine")
    (tmp_path / "x-1").mkdir()
    Scratch(tmp_path, "x").close()
    assert (tmp_path / "mine").read_text() == "precious"
    assert (tmp_path / "x-1").is_dir()


def test_a_file_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x-1.lock").touch()
    monkeypatch.setattr(scratch.os, "getuid", lambda: 1 + (tmp_path / "x-1.lock").stat().st_uid)
    Scratch(tmp_path, "x").close()
    assert (tmp_path / "x-1.lock").exists()
    monkeypatch.undo()
    Scratch(tmp_path, "x").close()
    assert not (tmp_path / "x-1.lock").exists()
