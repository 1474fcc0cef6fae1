"""Our objectives give the losses of TRL's trainers on the batches of TRL's collators."""

import pytest

from benchmarks.objectives import compared

pytestmark = pytest.mark.model


def test_every_objective_that_trl_has_gives_its_loss() -> None:
    found = {one.name: one for one in compared("packed")}
    assert found.keys() == {
        "DPO, sigmoid", "DPO, apo_zero", "DPO, apo_down", "KTO, kto", "KTO, apo_zero", "SimPO", "ORPO, odds ratio",
    }  # fmt: skip
    for one in found.values():
        assert one.ours == pytest.approx(one.theirs, abs=1e-5), one.name
    assert abs(found["KTO, kto"].ours - found["KTO, apo_zero"].ours) > 1e-3  # a baseline that is not 0
