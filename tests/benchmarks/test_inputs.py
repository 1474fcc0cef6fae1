"""Every input condition is read as it is meant, or refused with its reason."""

from pathlib import Path

import pytest

from benchmarks.inputs import READERS, tried


@pytest.mark.model
@pytest.mark.parametrize("kind", READERS)
def test_every_condition_is_read_as_it_is_meant(kind: str, tmp_path: Path) -> None:
    cases, read = READERS[kind]
    wrong = {}
    for number, case in enumerate(cases):
        (folder := tmp_path / str(number)).mkdir()
        result = tried(case, read, folder)
        if result.outcome not in ("right", "refused"):
            wrong[case.name] = result.found
    assert len(cases) > 5
    assert wrong == {}
