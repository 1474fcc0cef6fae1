"""A step of training waits for the device only where a row of metrics is logged: it says what to do, and goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from benchmarks.operations import Operations
from benchmarks.tiny import some_pairs, some_targets
from generation import settings as reading
from training.recipes.config import DPO, SFT, Reward
from training.run import fit, job


class Steps(TrainerCallback):  # type: ignore[misc]
    """What was counted in each step: from its batches, which the host makes, to its end."""

    def __init__(self, counts: Operations) -> None:
        self._counts = counts
        self.waited: dict[int, dict[str, int]] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.waited[state.global_step] = dict(self._counts.waited)
        self._counts.clear()


def waits(settings: Any, out: Path) -> tuple[dict[int, dict[str, int]], list[int]]:
    """Step -> what the host waited for, but to log, or to make batches, which it does from its own memory; the steps logged."""
    plan = job.prepare(settings, out)
    counts = Operations()
    steps = Steps(counts)
    trainer = fit.build(plan, fit.load(plan), steps)
    trainer.args.save_strategy = "no"

    def aside(name: str) -> None:
        work = getattr(trainer, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            before = dict(counts.waited)
            found = work(*args, **kwargs)
            counts.waited.clear()
            counts.waited.update(before)
            return found

        setattr(trainer, name, call)

    aside("data_collator")
    aside("_maybe_log_save_evaluate")
    with counts.counted():
        trainer.train()
    return steps.waited, [row["step"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.model
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("recipe", ["sft", "reward", "dpo"])
def test_a_step_waits_for_nothing_of_ours(
    recipe: str, layout: str, tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    kind, rows = {"sft": (SFT, some_targets), "reward": (Reward, some_pairs), "dpo": (DPO, some_pairs)}[recipe]
    more = ["batch_size=4", "micro_batch_size=2", "steps=6", "log_every=4", "save_every=100", "report_to=[]"]
    given = {
        "model": str(tiny), "data": {str(write_rows(rows(24))): 1.0}, "test_fraction": 0.0, "layout": layout,
    }  # fmt: skip
    waited, logged = waits(reading.load(kind, None, more, given), tmp_path / "out")
    waited.pop(1)  # in which the data loader draws its seed
    transformers = {
        "aten._local_scalar_dense.default": 2
    }  # once a forward pass: whether a padded row holds several texts
    assert waited == {step: {} if layout == "packed" else transformers for step in range(2, 7)}
    assert logged == [1, 4]


def test_entropies_are_paid_for_by_steps_that_log(tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> None:
    """And their mean is over the rows of those steps."""
    found = {}
    for every in (1, 3):
        more = ["batch_size=4", "steps=6", f"log_every={every}", "save_every=100", "report_to=[]", "learning_rate=1e-9"]
        given = {"model": str(tiny), "data": {str(write_rows(some_targets(24))): 1.0}, "test_fraction": 0.0}
        plan = job.prepare(reading.load(SFT, None, more, given), tmp_path / str(every))
        trainer = fit.build(plan, fit.load(plan))
        trainer.args.save_strategy = "no"
        trainer.train()
        found[every] = {row["step"]: row["entropy"] for row in trainer.state.log_history if "loss" in row}
    assert found[3].keys() == {1, 3, 6}
    for step, entropy in found[3].items():
        assert 0 < entropy == pytest.approx(found[1][step], rel=1e-5)


def test_what_is_counted_as_a_wait_and_as_an_operation() -> None:
    counts = Operations()
    x = torch.arange(4.0)
    with counts.counted():
        y = (x.view(2, 2).t() * 2).sum()
    assert (counts.launched.total(), counts.waited.total()) == (2, 0)
    counts.clear()
    with counts.counted():
        assert float(y) + len(x[x > 1].tolist()) + int(x.max())
        assert torch.repeat_interleave(x, torch.ones(4, dtype=torch.long)).tolist()
    assert counts.waited.total() == 6
