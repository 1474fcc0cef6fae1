"""The planted principles are found through the engine of functions, and sound ones raise no alarm."""

from pathlib import Path

import pytest

from benchmarks import planted


@pytest.mark.model
def test_planted_principles_are_found(tmp_path: Path) -> None:
    principles = [one for kind in planted.PLANTED for one in kind.principles]
    found = {(one.principle, one.check) for one in planted.tested(principles, planted.pairs(60, 3), tmp_path)}
    assert {(kind.principles[-1].id, kind.check) for kind in planted.PLANTED} <= found
    assert not {name for name, _ in found if name.startswith("sound")}


@pytest.mark.model
def test_sound_principles_raise_no_alarm(tmp_path: Path) -> None:
    assert planted.tested([planted.sound(10 + k) for k in range(4)], planted.pairs(40, 4), tmp_path) == []
