"""What made the labels is learnt, from a pool and by contrast."""

from pathlib import Path

import pytest

from benchmarks.learnt import learnt
from benchmarks.planted import sound


@pytest.mark.model
@pytest.mark.parametrize("contrast", [False, True])
def test_the_qualities_behind_the_labels(contrast: bool, tmp_path: Path) -> None:
    found = learnt(80, 1, tmp_path, contrast=contrast)
    texts = {found.candidates[place].text for place in found.chosen.places}
    assert {sound(0).text, sound(1).text} <= texts
    assert len(texts) <= 6
    assert found.measured.chosen.value > 0.75
