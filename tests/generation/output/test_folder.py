"""The day that chat templates take for today, as a folder keeps it."""

import datetime
from pathlib import Path

import pytest

from generation.output.folder import DATE, OwnedFolder, day_of, keep_day, run_folder

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
