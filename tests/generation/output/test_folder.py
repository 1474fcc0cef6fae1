"""The day that chat templates take for today, as a folder keeps it."""

import datetime
import os
from pathlib import Path

import pytest

from constitution.errors import UserError
from generation.output import manifest
from generation.output.folder import DATE, SETTINGS, OwnedFolder, day_of, keep_day, run_folder
from generation.pipeline import preflight

DAY, OTHER = datetime.date(2001, 2, 3), datetime.date(2004, 5, 6)


def test_the_day_is_the_first_that_a_folder_keeps_and_else_today(tmp_path: Path) -> None:
    run, training, evaluation, empty = (tmp_path / name for name in ("run", "training", "evaluation", "empty"))
    for folder in (run, training, evaluation, empty):
        folder.mkdir()
    run_folder(run).claim({"date": "2001-02-03"})
    OwnedFolder(training, "training.yaml").claim({"date": "2001-02-03", "recipe": "sft"})
    keep_day(evaluation, OTHER)
    assert [day_of(folder) for folder in (run, training, evaluation)] == [DAY, DAY, OTHER]
    assert day_of(empty, tmp_path / "gone", run, evaluation) == DAY
    assert abs(day_of(empty) - datetime.date.today()) <= datetime.timedelta(days=1)


@pytest.mark.parametrize("damage", ["", "yesterday", "2001-02"])
def test_a_day_that_cannot_be_read_is_passed_over(damage: str, tmp_path: Path) -> None:
    (tmp_path / DATE).write_text(damage)
    run_folder(tmp_path).claim({"date": "2001-02-03"})
    assert day_of(tmp_path) == DAY


def test_a_day_that_is_kept_stays(tmp_path: Path) -> None:
    keep_day(tmp_path, DAY)
    keep_day(tmp_path, OTHER)
    assert day_of(tmp_path) == DAY


@pytest.mark.timeout(20)
def test_nothing_that_a_folder_keeps_is_waited_for_where_a_pipe_stands_in_its_place(tmp_path: Path) -> None:
    for name in (SETTINGS, DATE, manifest.NAME, preflight.FILE):
        os.mkfifo(tmp_path / name)
    assert abs(day_of(tmp_path) - datetime.date.today()) <= datetime.timedelta(days=1)
    for read, name in (
        (run_folder(tmp_path).snapshot, SETTINGS),
        (lambda: run_folder(tmp_path).claim({}), SETTINGS),
        (lambda: manifest.read(tmp_path), manifest.NAME),
        (lambda: preflight.read(tmp_path), preflight.FILE),
    ):
        with pytest.raises(UserError) as error:
            read()
        assert error.value.problems[0].place == str(tmp_path / name)
