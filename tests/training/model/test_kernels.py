"""Liger's kernels where a machine has none of them: refused before anything loads."""

from pathlib import Path

import pytest

from constitution.errors import UserError
from training.config import Training
from training.model import kernels, launch
from training.recipes.config import SFT
from training.run import job


def test_plain_kernels_run_everywhere() -> None:
    kernels.check(Training())


def test_without_a_gpu_they_are_refused_before_anything_loads(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(launch, "on_cpu", lambda: True)
    with pytest.raises(
        UserError, match="kernels: got liger, whose kernels run on GPUs alone; allowed: plain; leave it out"
    ):
        job.prepare(SFT(model=str(tiny), kernels="liger"), tmp_path / "out")


def test_without_the_package_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "on_cpu", lambda: False)
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"liger-kernel is not installed; allowed: plain; pip install 'solon-cai\[liger\]'"
    ):
        kernels.check(Training(kernels="liger"))
