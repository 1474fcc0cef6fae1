"""PPO in two processes under `accelerate launch` learns what one process learns.

Run as a script this file trains the case that its arguments name.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evaluation.inputs import InputError
from generation.settings import load
from tests.training.ppo_small import numbers, run_small, small_inputs
from training.metrics import read
from training.ppo_config import PPO
from training.ppo_job import prepare

ROOT = Path(__file__).parents[2]
CASE = {
    "prompts": 5,
    "batch": 10,
    "passes": 2,
    "eval_every": 2,
    "learning_rate": 1e-3,
    "critic_warmup": 1,
    "test_fraction": 0.3,
}
CASES: dict[str, dict[str, Any]] = {"group": {"baseline": "group"}, "critic": {"lora": {"r": 4}}}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(case: str, tmp_path: Path) -> None:
    """5 prompts and 3 held-out ones are not the same number for each process, and neither are a minibatch's."""
    inputs = small_inputs(tmp_path) | CASE | CASES[case]
    (tmp_path / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    alone, together = tmp_path / "alone", tmp_path / "together"
    run_small(alone, inputs)
    config = ROOT / "configs" / "accelerate" / "ddp.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2"]
    ours = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, __file__, str(tmp_path)],
        env={**os.environ, **ours},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for split in ("train", "eval"):
        expected = numbers(read(alone / "metrics.jsonl"), split)
        got = numbers(read(together / "metrics.jsonl"), split)
        assert len(got) == len(expected) >= 2
        for row, other in zip(got, expected, strict=True):
            assert row == pytest.approx(other, rel=1e-3, abs=1e-4)
    torch.testing.assert_close(
        load_file(together / "model.safetensors"), load_file(alone / "model.safetensors"), rtol=1e-3, atol=1e-4
    )


def test_weights_spread_over_processes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(InputError, match="fsdp: PPO writes replies with whole weights in each process; launch it with"):
        prepare(load(PPO, None, ["reward.rules.constitution=x"]), tmp_path)


def train(folder: Path) -> None:
    """This process's share. Its random state is its own, as that of a process that nobody seeded is."""
    torch.manual_seed(int(os.environ["RANK"]))
    run_small(folder / "together", json.loads((folder / "inputs.json").read_text()))


if __name__ == "__main__":
    train(Path(sys.argv[1]))
