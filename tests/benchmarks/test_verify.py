"""Each kind of corruption is found in a small set, and a sound one of each form raises no alarm."""

import random
from pathlib import Path

import pytest

from benchmarks import verify_made as made
from benchmarks.verify import alarms, written

SMALL = 500


@pytest.mark.parametrize("kind", made.KINDS, ids=lambda kind: kind.name)
def test_a_corruption_is_found(kind: made.Corruption, tmp_path: Path) -> None:
    spec = written(tmp_path / "data", kind.make(made.simulated(SMALL, 5), random.Random(0)))
    assert {one.check for one in alarms(spec)} & set(kind.found_by)


@pytest.mark.parametrize("form", ["judged", "scored", "plain", "rankings"])
@pytest.mark.parametrize("rows", [16, SMALL])
def test_a_sound_set_raises_no_alarm(form: str, rows: int, tmp_path: Path) -> None:
    given = made.simulated(rows, 6)
    parts = {
        "judged": {"": given},
        "scored": made.split(made.binarized(given)),
        "plain": made.split(made.plain(given)),
        "rankings": {"": made.rankings(rows // 4, 6)},
    }[form]
    assert alarms(written(tmp_path / "data", parts)) == []
