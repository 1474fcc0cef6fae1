"""The last evaluation is of the weights that are saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.ppo_small import run_small, small_inputs
from training.ppo.trainer import Loop

CASES: dict[str, dict[str, Any]] = {"full": {}, "adapter": {"lora": {"r": 4, "merge": False}}}


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_was_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    evaluate, seen = Loop._evaluate, dict[int, dict[str, torch.Tensor]]()

    def watched(self: Loop, iteration: int) -> dict[str, float]:
        seen[iteration] = {name: weight.clone() for name, weight in self.policy.inner.named_parameters()}
        return evaluate(self, iteration)

    monkeypatch.setattr(Loop, "_evaluate", watched)
    changes = {"save_dtype": "bfloat16", "learning_rate": 1e-2, "steps": 2, "eval_every": 1, **CASES[case]}
    run_small(tmp_path / "run", small_inputs(tmp_path), baseline="group", **changes)
    (file,) = (tmp_path / "run").glob("*.safetensors")
    saved = {name.removeprefix("base_model.model."): weight.float() for name, weight in load_file(file).items()}
    names = {name: name.replace(".default", "") for name in seen[2]}
    evaluated = {names[name]: weight for name, weight in seen[2].items() if names[name] in saved}
    assert evaluated.keys() == saved.keys()
    assert all(torch.equal(evaluated[name], weight) for name, weight in saved.items())
    assert not all(torch.equal(weight, weight.bfloat16().float()) for weight in seen[1].values()), "while it trains"
