"""Files that are written whole, and never through what somebody else put in their place."""

import os
from pathlib import Path

import pytest

from constitution.errors import UserError
from generation.output.files import create, file_sha256, refuse_links, remove, write_atomically


@pytest.mark.parametrize("name", ["page.html", "page.html.tmp"])
def test_a_planted_link_is_replaced_and_its_target_left_alone(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / name).symlink_to(victim)
    write_atomically(tmp_path / "page.html", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "page.html").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "victim"]
    assert not (tmp_path / "page.html").is_symlink()


def test_a_name_that_is_taken_while_a_file_is_made_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "page").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # it is put there again at once
    with pytest.raises(FileExistsError):
        create(tmp_path / "page")
    assert (tmp_path / "victim").read_text() == "precious"


def test_links_that_lead_out_of_a_folder_are_refused_each(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "data").mkdir(parents=True)
    (run / "inside").symlink_to("data")
    (run / "itself").symlink_to("itself")
    refuse_links(run)
    (run / "calls.sqlite").symlink_to(tmp_path / "nothing")
    (run / "data" / "sft").symlink_to(tmp_path)
    with pytest.raises(UserError) as error:
        refuse_links(run)
    assert {problem.place for problem in error.value.problems} == {f"{run}/calls.sqlite", f"{run}/data/sft"}
    assert error.value.problems[0].fix == "remove the link"


def test_removal_takes_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    remove(tmp_path / "link")
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "file"]
    remove(tmp_path / "there")
    remove(tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


def test_the_digest_of_a_pipe_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is no ordinary file"):
        file_sha256(tmp_path / "pipe")
