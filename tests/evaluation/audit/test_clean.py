"""The copy of a run's data without doubtful rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from constitution.errors import UserError
from evaluation.audit.clean import NOTE, write_clean
from evaluation.audit.overlap import prompts_of
from generation.output.manifest import Manifest
from generation.output.records import Feedback


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_clean_copy_has_the_other_rows_and_the_run_stays(
    tmp_path: Path, write_run: Callable[..., Manifest], outcome: Callable[..., Feedback]
) -> None:
    run, folder = tmp_path / "run", tmp_path / "clean"
    write_run(run, [outcome(i, revised="Best.") for i in range(20)])
    before = files(run)
    assert len(list(prompts_of(run))) == 20
    rows = write_clean(run, folder, {"p3": "is in test.jsonl:1 (1.00)"})
    assert files(run) == before
    assert sum(rows.values()) == 2
    assert {name for name, _ in prompts_of(folder)} == {f"p{i}" for i in range(20)} - {"p3"}
    for name in rows:
        assert pq.read_schema(folder / name) == pq.read_schema(run / name)
    note = json.loads((folder / NOTE).read_text())
    assert note["prompts"] == {"p3": "is in test.jsonl:1 (1.00)"}
    assert note["rows_left_out"] == rows


def test_a_clean_copy_needs_a_new_folder(
    tmp_path: Path, write_run: Callable[..., Manifest], outcome: Callable[..., Feedback]
) -> None:
    run = tmp_path / "run"
    write_run(run, [outcome(0)])
    (tmp_path / "file").touch()
    for folder, message in (
        (run / "clean", "is in the run itself"),
        (run, "is in the run itself"),
        (tmp_path, "is there already"),
        (tmp_path / "file", "is there already"),
    ):
        with pytest.raises(UserError, match=f"--clean {folder}: {message}"):
            write_clean(run, folder, {})
    (tmp_path / "empty").mkdir()
    assert sum(write_clean(run, tmp_path / "empty", {}).values()) == 0
