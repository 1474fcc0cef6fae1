"""Two processes under `accelerate launch`, with the shipped configurations, learn what one process learns.

Run as a script this file trains what the plan names that it is given, so that one launch serves several cases.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from evaluation.inputs import InputError
from generation import settings as reading
from tests.training.conftest import some_pairs, some_targets
from training import fit, job
from training.config import DPO, SFT, Reward

ROOT = Path(__file__).parents[2]
KINDS = {"sft": SFT, "reward": Reward, "dpo": DPO}
WRAPPERS = ("ddp", "fsdp2")
SHARED = ("batch=8", "micro_batch=2", "precision=fp32", "learning_rate=1e-3", "steps=4", "eval_every=2", "report_to=[]",
          "test_fraction=0.2")  # fmt: skip
CASES: dict[str, tuple[str, ...]] = {
    "sft": ("gradient_checkpointing=true",),
    "reward": ("heads=2", "learning_rate=1e-2"),
    "dpo": ("bucket=false", "sft=0.1"),
    "dpo_padded": ("layout=padded",),
    "dpo_lora": ("lora.r=4", "learning_rate=1e-2"),
    "dpo_bf16": ("precision=bf16",),
    "reward_bf16": ("precision=bf16",),
    "reward_lora": ("lora.r=4", "lora.merge=false", "learning_rate=1e-2"),
}
"""Name, which begins with the recipe's -> settings."""
SPEED = {"tokens_per_second", "pairs_per_second", "peak_memory_gb"}


def train(plan: Path) -> None:
    """Train each of the plan's cases into its folder."""
    for name, case in json.loads(plan.read_text()).items():
        kind = KINDS[name.split("_")[0]]
        settings = reading.load(kind, None, case["set"], {"model": case["model"], "data": {case["data"]: 1.0}})
        fit.run(job.prepare(settings, Path(case["out"])), Console(quiet=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of this file are."""
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, str]:
    """Recipe -> its rows: 15 to hold out, which two processes with 2 at a time cannot share evenly."""
    paths = {}
    for name, rows in (("pairs", some_pairs(45)), ("targets", some_targets(45))):
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"sft": str(paths["targets"]), "reward": str(paths["pairs"]), "dpo": str(paths["pairs"])}


def write_plan(folder: Path, way: str, tiny: Path, data: dict[str, str]) -> Path:
    """What to train under `way`."""
    plan = {
        name: {
            "model": str(tiny),
            "data": data[name.split("_")[0]],
            "out": str(folder / way / name),
            "set": [*SHARED, *settings],
        }
        for name, settings in CASES.items()
    }
    path = folder / f"{way}.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


def command(wrapper: str, *arguments: str) -> list[str]:
    """The launch of two processes, from the shipped configuration."""
    config = ROOT / "configs" / "accelerate" / f"{wrapper}.yaml"
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    return [*launcher, "--config_file", str(config), "--num_processes", "2", *arguments]


def environment(cache: Path) -> dict[str, str]:
    """No GPU, one thread, and a cache without anyone's log-probabilities."""
    ours = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "SOLON_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    return {**os.environ, **ours}


def launch(cache: Path, wrapper: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes, until they end."""
    return subprocess.run(
        command(wrapper, *arguments), env=environment(cache), cwd=ROOT, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def alone(folder: Path, tiny: Path, data: dict[str, str]) -> Path:
    """What one process makes of the cases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLON_CACHE", str(folder / "cache-alone"))
        train(write_plan(folder, "alone", tiny, data))
    return folder / "alone"


@pytest.fixture(scope="module", params=WRAPPERS)
def together(request: pytest.FixtureRequest, folder: Path, tiny: Path, data: dict[str, str]) -> Path:
    """What two make of them."""
    way: str = request.param
    done = launch(folder / f"cache-{way}", way, __file__, str(write_plan(folder, way, tiny, data)))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / way


def rows(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl, without what depends on the machine."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in SPEED} for line in lines]


def assert_same(got: Path, wanted: Path) -> None:
    """Metrics, results on held-out rows, and weights."""
    expected = rows(wanted)
    assert sum(row["split"] == "eval" for row in expected) >= 2
    assert len(rows(got)) == len(expected)
    for row, other in zip(rows(got), expected, strict=True):
        assert row.pop("split") == other.pop("split")
        assert row == pytest.approx(other, rel=1e-5, abs=1e-5)
    results = [json.loads((out / "training.json").read_text())["results"] for out in (got, wanted)]
    assert results[0] == pytest.approx(results[1], rel=1e-5, abs=1e-5)
    (name,) = (path.name for path in wanted.glob("*.safetensors"))
    weights, others = load_file(got / name), load_file(wanted / name)
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [name for name in CASES if "bf16" not in name])
def test_two_processes_learn_what_one_learns(together: Path, alone: Path, case: str) -> None:
    assert_same(together / case, alone / case)


@pytest.mark.parametrize("case", ["dpo_bf16", "reward_bf16"])
def test_in_bfloat16_two_processes_begin_where_one_does(together: Path, alone: Path, case: str) -> None:
    """What comes out of a sharded model is not rounded, and its reference is computed as it is itself."""
    first, other = (next(row for row in rows(out / case) if row["split"] == "train") for out in (together, alone))
    assert first["reward_margin"] == 0
    assert first["loss"] == pytest.approx(other["loss"], abs=1e-6)
    assert first["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-2)
    assert first.get("logp_chosen", 0) == pytest.approx(other.get("logp_chosen", 0), rel=1e-4)


def test_a_killed_run_goes_on_under_the_same_command(folder: Path, tiny: Path, data: dict[str, str]) -> None:
    sets = [*SHARED, "steps=30", "save_every=1", "eval_every=10", "beta=0.2"]
    out, single = folder / "killed", folder / "whole"
    arguments = ["-m", "training", "dpo", "--model", str(tiny), "--data", data["dpo"], "--out", str(out)]
    arguments += [part for pair in sets for part in ("--set", pair)]
    log = folder / "killed.log"
    with log.open("w") as file:
        running = subprocess.Popen(
            command("fsdp2", *arguments), env=environment(folder / "cache-killed"), cwd=ROOT, stdout=file, stderr=file
        )
        try:
            while running.poll() is None and not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")):
                time.sleep(0.02)
            assert running.poll() is None, log.read_text()
        finally:
            for process in (*psutil.Process(running.pid).children(recursive=True), running):
                process.kill()
            running.wait()
    assert not (out / "training.json").exists()
    done = launch(folder / "cache-killed", "fsdp2", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("checkpoint and model card") == 1
    assert "train      1/30" not in done.stdout
    settings = reading.load(DPO, None, sets, {"model": str(tiny), "data": {data["dpo"]: 1.0}})
    fit.run(job.prepare(settings, single), Console(quiet=True))
    assert_same(out, single)


def test_what_is_wrong_is_told_once(folder: Path, tiny: Path, data: dict[str, str]) -> None:
    arguments = ["--model", str(tiny), "--data", data["dpo"], "--out", str(folder / "wrong"), "--set", "batch=7"]
    done = launch(folder / "cache-wrong", "ddp", "-m", "training", "dpo", *arguments, "--set", "micro_batch=1")
    assert (
        done.stderr.count("batch: got 7; allowed are multiples of micro_batch (1) times processes (2), such as 8") == 1
    )
    assert "exitcode  : 2" in done.stderr
    assert done.returncode


def test_the_first_version_of_fsdp_is_refused(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(InputError, match=r"fsdp_version: got 1; allowed is 2; set it under fsdp_config"):
        job.prepare(DPO(model=str(tiny)), tmp_path)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
