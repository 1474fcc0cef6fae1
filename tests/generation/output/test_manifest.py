"""A run is used only while all of it is as it was written; what is not is named."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import generate_feedback
from constitution.errors import UserError
from evaluation.__main__ import main as evaluate
from generation.output import manifest
from generation.output.files import write_sealed
from generation.output.folder import OwnedFolder
from generation.output.run import open_run
from training.data.sources import read as read_data

CONSTITUTION = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs of a run, and the finished run."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "laws.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"Question {i}?", "responses": [f"Yes, {i}.", f"No, {i}, never."]} for i in range(6)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command(folder, folder / "run") == 0
    return folder


@pytest.fixture
def run(inputs: Path, tmp_path: Path) -> Path:
    """A copy of the run to damage."""
    return Path(shutil.copytree(inputs / "run", tmp_path / "run"))


@pytest.fixture
def feedback(inputs: Path, run: Path) -> Callable[[], int]:
    """The command of the run, again."""
    return lambda: command(inputs, run)


def command(inputs: Path, run: Path) -> int:
    files = ("--constitution", inputs / "laws.yaml", "--prompts", inputs / "prompts.jsonl", "--out", run)
    return generate_feedback.main([*map(str, files), "--engine", "replay"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": cut, "flip": flip, "empty": lambda path: path.write_text("") and None, "gone": Path.unlink,
    "folder": make_folder, "pipe": make_pipe,
}  # fmt: skip
FILES = ("data/preferences/train.parquet", "votes.parquet", "failures.parquet", "run.yaml", "constitution.yaml")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_named_by_whatever_opens_the_run(run: Path, kind: str, name: str) -> None:
    DAMAGES[kind](run / name)
    with pytest.raises(UserError) as error:
        open_run(run)
    (problem,) = error.value.problems
    assert problem.place == str(run / name)
    assert problem.fix == f"run the `solon feedback` command of {run} again, which writes it anew from the stored calls"
    assert problem.got.startswith("is missing" if kind == "gone" else ("is not as", "cannot be read"))


@pytest.mark.parametrize("name", ["audit", "diff", "training", "clean"])
def test_every_command_refuses_a_damaged_run(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(run / "responses.parquet")
    if name == "training":
        with pytest.raises(UserError, match=r"responses\.parquet: is not as the run wrote it"):
            [*read_data(str(run), "preferences")]
        return
    given = {
        "audit": ["audit", run],
        "diff": ["diff", run, run],
        "clean": ["audit", run, "--clean", tmp_path / "clean"],
    }
    assert evaluate([*map(str, given[name])]) == 2
    assert f"{run}/responses.parquet: is not as the run wrote it" in capsys.readouterr().err
    assert not (tmp_path / "clean").exists()


@pytest.mark.parametrize("name", ["data/preferences/train.parquet", "constitution.yaml", "README.md", "manifest.json"])
def test_the_same_command_names_what_is_damaged_and_mends_it(
    run: Path, feedback: Callable[[], int], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "json" not in path.name}
    flip(run / name)
    capsys.readouterr()
    assert feedback() == 0
    told = capsys.readouterr()
    assert f"{run / name}: is " in told.err
    assert "is written anew from the stored calls" in told.err
    assert "is finished" not in told.out
    assert open_run(run).manifest.calls == manifest.whole(run).calls
    same = {path for path in before if path.name not in ("report.html", ".lock-holder", "calls.sqlite")}
    assert {path for path in same if path.read_bytes() != before[path]} <= {run / "README.md"}  # it tells seconds
    assert feedback() == 0
    assert "is finished: 0 calls made" in capsys.readouterr().out


def test_a_page_that_was_changed_is_told_and_no_reason_to_stop(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (run / "README.md").open("a") as file:
        file.write("A word of thanks.\n")
    assert open_run(run).manifest.counts.prompts == 6
    assert f"{run}/README.md: is not as the run wrote it" in capsys.readouterr().err


def test_a_report_that_is_made_again_is_the_runs_own(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(["audit", str(run), "--set", "examples=1"]) == 0
    capsys.readouterr()
    open_run(run)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "got"),
    [
        pytest.param(
            lambda text: text.replace('"prompts": 6', '"prompts": 7'), "is damaged, or was changed", id="count"
        ),
        pytest.param(lambda text: text.replace("{", '{"sha256": "",', 1), "is damaged, or was changed", id="key-twice"),
        pytest.param(lambda text: text + "\n", "is damaged, or was changed", id="white-space"),
        pytest.param(lambda text: text.replace('"outcomes"', '"results"'), "another version", id="other-keys"),
        pytest.param(lambda text: text.replace("6", '"six"'), "another version", id="other-types"),
        pytest.param(lambda _: "[" * 100_000, "another version", id="nested"),
        pytest.param(lambda _: "", "another version", id="empty"),
    ],
)
def test_a_damaged_manifest_is_named(run: Path, change: Callable[[str], str], got: str) -> None:
    path = run / "manifest.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError) as error:
        open_run(run)
    assert error.value.problems[0].place == str(path)
    assert got in error.value.problems[0].got


def test_calls_that_are_gone_are_told_and_never_asked_again_for_whole_data(
    run: Path, feedback: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "calls.sqlite").unlink()
    assert feedback() == 0
    told = capsys.readouterr()
    assert "calls.sqlite: no such file" in told.err
    assert "is finished: 0 calls made" in told.out
    flip(run / "votes.parquet")
    assert feedback() == 2
    assert "votes.parquet: is not as" in (err := capsys.readouterr().err)
    assert "choose another --out" in err
    assert not (run / "calls.sqlite").exists()


@pytest.mark.parametrize("kind", ["cut", "flip", "empty", "folder"])
def test_settings_that_are_damaged_are_told_with_a_way_to_keep_the_calls(
    run: Path, feedback: Callable[[], int], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "manifest.json").unlink()
    DAMAGES[kind](run / "run.yaml")
    assert feedback() == 2
    assert (
        f"run.yaml: is damaged, or was changed by hand; choose a new folder and take its cached calls: --out {run}-2"
        in (capsys.readouterr().err)
    )


def test_settings_that_are_missing_are_told_so_too(
    run: Path, feedback: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "run.yaml").unlink()
    (run / "manifest.json").unlink()
    assert feedback() == 2
    assert f"no run of ours (no run.yaml); choose a new folder and take its cached calls: --out {run}-2" in (
        capsys.readouterr().err
    )


def test_a_setting_that_is_changed_by_hand_is_seen(tmp_path: Path) -> None:
    folder = OwnedFolder(tmp_path)
    write_sealed(tmp_path / "run.yaml", "plan: {samples: 4}\n")
    assert folder.snapshot() == {"plan": {"samples": 4}}
    text = (tmp_path / "run.yaml").read_text()
    (tmp_path / "run.yaml").write_text(text.replace("4", "5", 1))
    with pytest.raises(UserError, match=r"run.yaml: is damaged, or was changed by hand"):
        folder.snapshot()
