"""Every input condition is read as it is meant, or refused with its reason."""

from pathlib import Path

import pytest

from benchmarks.inputs import READERS, tried


@pytest.mark.parametrize(
    ("kind", "number"),
    [pytest.param(kind, i, id=f"{kind}: {case.name}") for kind, (cases, _) in READERS.items() for i, case in enumerate(cases)],
)  # fmt: skip
def test_a_condition_is_read_as_it_is_meant(kind: str, number: int, tmp_path: Path) -> None:
    cases, read = READERS[kind]
    result = tried(cases[number], read, tmp_path)
    assert result.outcome in ("right", "refused"), "\n".join(result.found)
