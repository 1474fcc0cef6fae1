"""The output folder: whose it is, what it goes on from, when it is done."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from constitution.errors import Unavailable, UserError
from training.recipes.config import DPO
from training.run.folder import (
    CHECKPOINTS,
    DONE,
    check,
    claim,
    finish,
    finished,
    last_checkpoint,
    resume_state,
    rotate,
    run_exclusively,
)
from training.run.metrics import Metrics
from training.run.page import SETTINGS
from training.run.sealed import SEAL, seal
from training.run.snapshot import MACHINE_SETTINGS, settings_snapshot


def chained(cause: Exception) -> Exception:
    """An error that another one hides."""
    error = RuntimeError("cannot serialize")
    error.__cause__ = cause
    return error


def said(**changes: object) -> dict[str, object]:
    return settings_snapshot("dpo", DPO.model_validate({"data": {"runs/one": 1.0}, **changes}), {"train": "d1"})


def test_a_folder_is_claimed_once_and_known_again(tmp_path: Path) -> None:
    claim(tmp_path, said())
    kept = yaml.safe_load((tmp_path / SETTINGS).read_text())
    assert (kept["recipe"], kept["beta"], kept["digests"]) == ("dpo", 0.1, {"train": "d1"})
    assert set(kept["machine"]) == {name for name in MACHINE_SETTINGS if name in DPO.model_fields}
    claim(tmp_path, said())
    claim(tmp_path, said(micro_batch_size=1, log_every=7, report_to=[], license="mit", watch={"leak_rows": None}))
    assert yaml.safe_load((tmp_path / SETTINGS).read_text())["machine"]["micro_batch_size"] == 1


@pytest.mark.parametrize(
    ("other", "line"),
    [
        pytest.param(said(beta=0.3), "beta: was 0.1, now 0.3", id="setting"),
        pytest.param(said(data={"runs/two": 1.0}), "data.runs/one: was 1.0, now None", id="data"),
        pytest.param({**said(), "recipe": "reward"}, "recipe: was 'dpo', now 'reward'", id="recipe"),
        pytest.param({**said(), "digests": {"train": "d2"}}, "digests.train: was 'd1', now 'd2'", id="rows"),
    ],
)
def test_a_folder_of_others_says_what_differs(other: dict[str, object], line: str, tmp_path: Path) -> None:
    claim(tmp_path, said())
    before = (tmp_path / SETTINGS).read_text()
    with pytest.raises(UserError) as told:
        claim(tmp_path, other)
    head, *lines = str(told.value).split("\n")
    assert head == f"{tmp_path}: belongs to other settings; choose another --out, or delete the folder"
    assert line in lines
    assert (tmp_path / SETTINGS).read_text() == before


@pytest.mark.parametrize("text", ["{", "[]", "\x00", ""], ids=["half", "list", "binary", "empty"])
def test_damaged_settings_are_told(text: str, tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(
        UserError,
        match=r"training.yaml: is damaged, or was changed by hand; choose another --out, or delete the folder",
    ):
        claim(tmp_path, said())


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    check(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    check(tmp_path)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty and no run of ours \(no training.yaml\); choose another --out"):
        check(tmp_path)
    with pytest.raises(UserError, match=r"is a file; --out takes a folder"):
        check(tmp_path / "thesis.tex")
    claim(tmp_path, said())
    check(tmp_path)


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / CHECKPOINTS / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights" * step)
    (path / "optimizer.pt").write_bytes(b"moments" * step)
    seal(path)
    return path


def fifo(path: Path) -> None:
    (path / "optimizer.pt").unlink()
    os.mkfifo(path / "optimizer.pt")


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("cut-short", lambda path: (path / SEAL).unlink(), "it was cut short"),
    ("half-a-seal", lambda path: (path / SEAL).write_text('{"model'), "it cannot be read ("),
    ("seal-of-nothing", lambda path: (path / SEAL).write_text("{}"), f"{SEAL} names no files"),
    ("seal-a-list", lambda path: (path / SEAL).write_text("[1]"), f"{SEAL} names no files"),
    ("file-missing", lambda path: (path / "optimizer.pt").unlink(), "optimizer.pt is missing"),
    ("file-empty", lambda path: (path / "optimizer.pt").write_bytes(b""), "optimizer.pt is not what was written"),
    (
        "bit-flipped",
        lambda path: (path / "model.safetensors").write_bytes(b"weightS"),
        "model.safetensors is not what was",
    ),
    ("pipe", fifo, "optimizer.pt is missing"),
]


@pytest.mark.parametrize(("spoil", "reason"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(
    spoil: Callable[[Path], object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(tmp_path, 9)
    ten, eleven = checkpoint(tmp_path, 10), checkpoint(tmp_path, 11)
    assert last_checkpoint(tmp_path) == (eleven, 11)
    assert capsys.readouterr().err == ""
    spoil(eleven)
    assert last_checkpoint(tmp_path) == (ten, 10)
    assert f"{eleven}: is no checkpoint to go on from: {reason}" in capsys.readouterr().err
    assert not eleven.exists()


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None


def test_the_newest_and_the_best_checkpoints_stay(tmp_path: Path) -> None:
    made = [checkpoint(tmp_path, step) for step in (2, 9, 10, 11)]
    rotate(tmp_path, 2, made[0])
    assert [path.exists() for path in made] == [True, False, True, True]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="as-it-is"),
        pytest.param(chained(OSError(errno.ENOSPC, "No space left on device")), id="behind-another"),
    ],
)
def test_a_full_disk_is_a_sentence(error: Exception, tmp_path: Path) -> None:
    def full() -> dict[str, Any]:
        raise error

    with pytest.raises(
        Unavailable, match=r"cannot be written \(No space left on device\); make room, then run the same"
    ):
        run_exclusively(tmp_path, said(), "nothing", full)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(errno.ENOENT, "no such file")])
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    def wrong() -> dict[str, Any]:
        raise error

    with pytest.raises(type(error), match=str(error.args[-1])):
        run_exclusively(tmp_path, said(), "nothing", wrong)


def test_a_run_is_done_once_its_results_are_written(tmp_path: Path) -> None:
    assert finished(tmp_path) is None
    checkpoint(tmp_path, 1)
    finish(tmp_path, {"steps": 3})
    assert finished(tmp_path) == {"steps": 3}
    assert not (tmp_path / CHECKPOINTS).exists()
    (tmp_path / DONE).write_text('{"steps"')
    assert finished(tmp_path) is None


def test_what_is_counted_is_logged_before_the_first_step_and_once(tmp_path: Path) -> None:
    """A run that goes on from a checkpoint has it from its first start."""
    counts = {"train": {"rows": 9, "too_long": 1}, "test": {"rows": 2}}
    found, rows = resume_state(tmp_path, Metrics(tmp_path), counts, {"kl": 0.5})
    assert found is None
    assert [(row.step, row.split, dict(row.values)) for row in rows] == [
        (0, "data", {"train/rows": 9.0, "train/too_long": 1.0}),
        (0, "data", {"test/rows": 2.0}),
        (0, "data", {"kl": 0.5}),
    ]
    path = checkpoint(tmp_path, 3)
    assert resume_state(tmp_path, Metrics(tmp_path), counts, {"kl": 0.5}) == ((path, 3), rows)


def test_without_figures_none_are_logged(tmp_path: Path) -> None:
    assert len(resume_state(tmp_path, Metrics(tmp_path), {"train": {"rows": 9}})[1]) == 1
