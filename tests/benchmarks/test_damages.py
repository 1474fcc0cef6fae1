"""A sample of what `benchmarks.damages` tries: each damage is named or harmless, and what is counted as silent would be seen."""

from pathlib import Path

import pytest

from benchmarks.damages import Inputs, Said, damages_of, files_of, judge, try_finished, try_unfinished

FINISHED = [
    ("votes.parquet", "bit 0"), ("responses.parquet", "a folder"), ("manifest.json", "another number"),
    ("constitution.yaml", "a link to itself"), ("calls.sqlite", "half of it"),
]  # fmt: skip
UNFINISHED = [
    ("calls.sqlite", "zeros"), ("calls.sqlite", "half of it"), ("run.yaml", "another number"), ("constitution.yaml", "nested"),
]  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    found = Inputs(tmp_path_factory.mktemp("damages"))
    found.make()
    return found


@pytest.mark.model
@pytest.mark.parametrize(("name", "kind"), FINISHED)
def test_a_damage_of_a_finished_run_is_named(inputs: Inputs, name: str, kind: str) -> None:
    for trial in try_finished(inputs, name, kind, damages_of(name)[kind]):
        assert trial.outcome in (("named",) if name != "calls.sqlite" else ("named", "harmless")), trial


@pytest.mark.parametrize(("name", "kind"), UNFINISHED)
def test_a_damage_of_an_unfinished_run_is_named_or_changes_nothing(inputs: Inputs, name: str, kind: str) -> None:
    for trial in try_unfinished(inputs, name, kind, damages_of(name)[kind]):
        assert trial.outcome in ("named", "harmless"), trial


def test_there_are_enough_damages(inputs: Inputs) -> None:
    tried = {
        run: [kind for name in files_of(inputs.folder / run) for kind in damages_of(name)] for run in ("whole", "half")
    }
    assert sum(map(len, tried.values())) >= 300


def test_nothing_said_is_silent_unless_nothing_changed() -> None:
    said = Said(0, "all is well", False)
    assert [judge(said, "data/votes.parquet", same) for same in (True, False)] == ["harmless", "silent"]
    assert judge(said._replace(text="votes.parquet: no"), "data/votes.parquet", False) == "named"
    assert judge(said._replace(crashed=True), "votes.parquet", True) == "traceback"


def test_a_file_that_is_not_damaged_is_not_tried(inputs: Inputs) -> None:
    assert [*try_finished(inputs, "votes.parquet", "nothing", lambda *_: None)] == []
    (trial,) = try_unfinished(inputs, "run.yaml", "nothing", lambda *_: None)
    assert trial.outcome == "harmless"
    assert not Path(inputs.folder / "new" / "manifest.json").exists()
