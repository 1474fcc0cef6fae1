"""What a run reports is of the weights that it saves: of its last evaluation, of a halted run's best policy, of a merged adapter."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.model.quantized.test_reading import quantized
from tests.training.ppo_small import gamed_in, run_small, small_inputs
from training.monitor.detectors import Alert
from training.monitor.monitor import Verdict
from training.monitor.moves import Check
from training.ppo.evaluate import PPOWatch
from training.ppo.trainer import Loop
from training.run.fit import Stopped
from training.run.metrics import read

CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "adapter": {"lora": {"r": 4, "merge": False}},
    "merged": {"lora": {"r": 4}},
    "merged-unchecked": {"lora": {"r": 4}, "eval_every": None},
    "merged-bf16": {"lora": {"r": 4}, "precision": "bf16"},
    "merged-quantized": {"lora": {"r": 4}, "precision": "bf16", "quantize": "4bit"},
}
Weights = dict[str, torch.Tensor]
pytestmark = pytest.mark.model


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The policy's weights at each evaluation."""
    held_out, seen = Loop._held_out, list[Weights]()

    def watched(self: Loop, *given: Any) -> Any:
        names = ((name.replace(".default", ""), weight) for name, weight in self.policy.inner.named_parameters())
        seen.append({name: weight.detach().float().clone() for name, weight in names})
        return held_out(self, *given)

    monkeypatch.setattr(Loop, "_held_out", watched)
    return seen


def saved(out: Path) -> Weights:
    (file,) = out.glob("*.safetensors")
    return {name.removeprefix("base_model.model."): weight.float() for name, weight in load_file(file).items()}


def results(out: Path) -> dict[str, float]:
    return dict(json.loads((out / "training.json").read_text())["results"])


def rows(out: Path) -> Iterator[dict[str, float]]:
    return (dict(json.loads(line)) for line in (out / "responses.jsonl").read_text().splitlines())


def assert_evaluated(evaluated: Weights, out: Path) -> None:
    weights = saved(out)
    same = {name: weight for name, weight in evaluated.items() if name in weights}
    assert same.keys() == weights.keys()
    assert all(torch.equal(same[name], weight) for name, weight in weights.items())
    kept = [row["score"] for row in rows(out)]
    assert results(out)["eval_score"] == pytest.approx(sum(kept) / len(kept))


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_was_evaluated(tmp_path: Path, evaluated: list[Weights], case: str) -> None:
    changes = {"save_dtype": "bfloat16", "learning_rate": 1e-2, "steps": 2, "eval_every": 1, **CASES[case]}
    run_small(tmp_path / "run", small_inputs(tmp_path), baseline="group", **changes)
    assert_evaluated(evaluated[-1], tmp_path / "run")
    if len(evaluated) > 1:
        trained = evaluated[1].values()
        assert not all(torch.equal(weight, weight.bfloat16().float()) for weight in trained), "while it trains"
    steps = [row.step for row in read(tmp_path / "run" / "metrics.jsonl") if row.split == "eval"]
    assert steps == ([2] if case == "merged-unchecked" else [0, 1, 2])
    assert case == "adapter" or results(tmp_path / "run")["weights_moved"] > 0


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_base_that_was_quantized_before_is_sampled_and_saved(
    tmp_path: Path, evaluated: list[Weights], bits: str
) -> None:
    """Once it is merged the policy has plain weights, which its base's files have not."""
    inputs = small_inputs(tmp_path)
    inputs["model"] = str(quantized(Path(inputs["model"]), tmp_path / "base", bits))
    changes = {"lora": {"r": 4}, "precision": "bf16", "learning_rate": 1e-2, "steps": 2}
    run_small(tmp_path / "run", inputs, baseline="group", **changes)
    assert_evaluated(evaluated[-1], tmp_path / "run")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_policy_is_as_far_from_its_base_as_before_it_was_merged(tmp_path: Path, dtype: str) -> None:
    """The base is read again: the policy is not its own reference any more."""
    found = {}
    for merge in (False, True):
        out = tmp_path / str(merge)
        lora = {"r": 4, "merge": merge}
        run_small(
            out, small_inputs(tmp_path), baseline="group", steps=3, learning_rate=3e-2, lora=lora, save_dtype=dtype
        )
        found[merge] = results(out)["eval_kl"]
    assert found[True] == pytest.approx(found[False], rel=1e-3 if dtype == "float32" else 0.2)
    assert abs(found[True]) > 1e-3


@pytest.mark.parametrize("case", ["full", "adapter", "merged"])
def test_a_halted_run_reports_what_it_saved(
    tmp_path: Path, evaluated: list[Weights], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The policy that it goes back to is reported as it is saved, not as it was when it was checked."""
    see = PPOWatch.see

    def ended(self: PPOWatch, check: Check, *given: Any) -> Verdict:
        verdict = see(self, check, *given)
        return Verdict("halt", (Alert("verbosity", "halt", "Planted."),)) if check.step == 4 else verdict

    monkeypatch.setattr(PPOWatch, "see", ended)
    settings = gamed_in(tmp_path) | {"save_dtype": "bfloat16", "learning_rate": 3e-2, "steps": 6, **CASES[case]}
    with pytest.raises(Stopped, match=r"Planted\. Saved is the policy of step \d"):
        run_small(tmp_path / "run", settings)
    assert len(evaluated) == 4, "at steps 0, 2 and 4, and of what is saved"
    assert_evaluated(evaluated[-1], tmp_path / "run")
    golds = [row["gold"] for row in rows(tmp_path / "run")]
    assert results(tmp_path / "run")["eval_gold"] == pytest.approx(sum(golds) / len(golds))
