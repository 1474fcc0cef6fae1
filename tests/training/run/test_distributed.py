"""Two processes under `accelerate launch`, with the shipped configurations, learn what one process learns.

Run as a script this file trains what the plan names that it is given, so that one launch serves several cases; at its end it
runs one command of `training` and ends as that does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from accelerate.commands.launch import launch_command, launch_command_parser
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.tiny import make_tiny, some_pairs, some_targets
from constitution.errors import UserError
from generation import settings as reading
from tests.forks import Process, kill, python, start, wait, wait_until
from tests.training.ppo_small import numbers, run_small, small_inputs
from training.__main__ import main
from training.online.config import OnlineDPO
from training.online.job import prepare
from training.recipes.config import DPO, SFT, Reward
from training.run import fit, job
from training.run.metrics import read
from training.run.trainer import RowTrainer

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[3]
KINDS = {"sft": SFT, "reward": Reward, "dpo": DPO}
WRAPPERS = ("ddp", "fsdp2")
"""The configurations under which every case is trained."""
ZERO3 = ("reward", "dpo_bf16", "dpo_saved", "dpo_resumed")
"""Cases that are trained under DeepSpeed too."""
SHARED = ("batch_size=8", "micro_batch_size=2", "precision=fp32", "learning_rate=1e-3", "steps=4", "eval_every=2", "report_to=[]",
          "test_fraction=0.2")  # fmt: skip
CASES: dict[str, tuple[str, ...]] = {
    "sft": ("gradient_checkpointing=true",),
    "sft_experts": ("router_aux_loss=0.1",),
    "reward": ("heads=2", "learning_rate=1e-2"),
    "dpo": ("bucket=false", "sft_weight=0.1"),
    "dpo_padded": ("layout=padded",),
    "dpo_lora": ("lora.r=4", "learning_rate=1e-2"),
    "dpo_bf16": ("precision=bf16",),
    "reward_bf16": ("precision=bf16",),
    "reward_lora": ("lora.r=4", "lora.merge=false", "learning_rate=1e-2"),
    "dpo_saved": ("lora.r=4", "learning_rate=1e-2", "save_dtype=bfloat16"),
    "dpo_resumed": ("save_every=2",),
}
"""Name, which begins with the recipe's -> settings."""
WHOLE = [name for name in CASES if not name.endswith(("_saved", "_resumed"))]
MADE = {"ddp": WHOLE, "fsdp2": [*WHOLE, "dpo_saved"], "zero3": ZERO3}
TRAINED = [(way, case) for way, cases in MADE.items() for case in cases]
PPO_CASE = {
    "prompts": 5,
    "batch_size": 10,
    "passes": 2,
    "eval_every": 2,
    "learning_rate": 1e-3,
    "test_fraction": 0.3,
}
PPO_CASES: dict[str, dict[str, Any]] = {
    "group": {"baseline": "group"},
    "critic": {"lora": {"r": 4}, "critic_warmup": 1},
}
SAVED, RESUMED, EVALUATED = "_saved", "_resumed", "evaluated.pt"
KILLED = [*SHARED, "steps=30", "save_every=1", "eval_every=10", "beta=0.2"]
"""Settings of the run that is killed."""
SPEED = {"tokens_per_second", "pairs_per_second", "peak_memory_gb"}


@contextmanager
def watched(out: Path) -> Iterator[None]:
    """Keep the weights of the last evaluation meanwhile."""
    evaluate = RowTrainer.evaluate

    def kept(self: RowTrainer, *given: Any, **more: Any) -> dict[str, float]:
        state = self.accelerator.get_state_dict(self.model_wrapped)
        if self.accelerator.is_main_process:
            torch.save({name: weight.cpu().clone() for name, weight in state.items()}, out / EVALUATED)
        return evaluate(self, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowTrainer, "evaluate", kept)
        yield


@contextmanager
def ended_early() -> Iterator[None]:
    """Training ends meanwhile once a checkpoint is written."""
    write = RowTrainer._save_checkpoint

    def ended(self: RowTrainer, *given: Any) -> None:
        write(self, *given)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowTrainer, "_save_checkpoint", ended)
        patch.setattr(PartialState, "destroy_process_group", lambda *_: None)
        yield


def train(path: Path) -> int:
    """Train each case of the plan into its folder, then run its last command; returns that one's exit code.

    Each process's random state is its own before PPO, as that of a process that nobody seeded is.
    """
    plan = json.loads(path.read_text())
    for name, case in plan["cases"].items():
        kind = KINDS[name.split("_")[0]]
        settings = reading.load(kind, None, case["set"], {"model": case["model"], "data": {case["data"]: 1.0}})
        if name.endswith(RESUMED) and PartialState().num_processes > 1:
            with ended_early(), pytest.raises(KeyboardInterrupt):
                fit.run(job.prepare(settings, Path(case["out"])), Console(quiet=True))
        with watched(Path(case["out"])) if name.endswith(SAVED) else nullcontext():
            fit.run(job.prepare(settings, Path(case["out"])), Console(quiet=True))
    for i, (out, inputs) in enumerate(plan["ppo"].items(), 1):
        torch.manual_seed(int(os.environ.get("RANK", 0)))
        with pytest.MonkeyPatch.context() as patch:
            if i < len(plan["ppo"]):  # a run's end is that of its processes' group, which the next run needs
                patch.setattr(PartialState, "destroy_process_group", lambda *_: None)
            run_small(Path(out), inputs)
    return main(plan["last"]) if plan["last"] else 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of this file are, and a mixture of experts."""
    path = tmp_path_factory.mktemp("distributed")
    make_tiny(path / "experts", experts=4)
    return path


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, str]:
    """Recipe -> its rows: 15 to hold out, which two processes with 2 at a time cannot share evenly."""
    paths = {}
    for name, rows in (("pairs", some_pairs(45)), ("targets", some_targets(45))):
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"sft": str(paths["targets"]), "reward": str(paths["pairs"]), "dpo": str(paths["pairs"])}


@pytest.fixture(scope="module")
def ppo_inputs(folder: Path) -> dict[str, Any]:
    """Case of PPO -> its settings."""
    (folder / "ppo").mkdir()
    inputs = small_inputs(folder / "ppo") | PPO_CASE
    return {name: inputs | case for name, case in PPO_CASES.items()}


def write_plan(
    folder: Path, way: str, tiny: Path, data: dict[str, str], ppo: dict[str, Any], last: list[str] | None = None,
) -> Path:  # fmt: skip
    """What to train under `way`, and the command at the end."""
    cases = {
        name: {
            "model": str(folder / "experts" if "experts" in name else tiny),
            "data": data[name.split("_")[0]],
            "out": str(folder / way / name),
            "set": [*SHARED, *settings],
        }
        for name, settings in CASES.items()
        if name in MADE.get(way, CASES)
    }
    path = folder / f"{way}.json"
    plan = {
        "cases": cases,
        "ppo": {str(folder / way / f"ppo_{name}"): case for name, case in ppo.items()},
        "last": last,
    }
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


def command(out: Path, tiny: Path, data: dict[str, str], *settings: str) -> list[str]:
    """Arguments of `python -m training`."""
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["dpo", "--model", str(tiny), "--data", data["dpo"], "--out", str(out), *sets]


def train_together(folder: Path, wrapper: str, plan: Path) -> Process:
    """Two processes train what the plan names."""
    module = ("-m", "tests.training.run.test_distributed")
    return launch(folder, wrapper, *module, str(plan), log=folder / f"{wrapper}.log", interpreter=python())


def accelerate_launch(*arguments: str) -> int:
    """What the command `accelerate launch` does."""
    launch_command(launch_command_parser().parse_args(arguments))
    return 0


def launch(folder: Path, wrapper: str, *arguments: str, log: Path, interpreter: str | Path = sys.executable) -> Process:
    """Two processes, from the shipped configuration: no GPU, one thread, and a cache without anyone's log-probabilities."""
    config = ROOT / "configs" / "accelerate" / f"{wrapper}.yaml"
    ours = {
        "PYTHON_EXEC": str(interpreter),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "SOLON_CACHE": str(folder / f"cache-{wrapper}"),
        "PYTHONPATH": str(ROOT),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ours.items():
            patch.setenv(name, value)
        return start(accelerate_launch, "--config_file", str(config), "--num_processes", "2", *arguments, log=log)


@pytest.fixture(scope="module")
def alone(folder: Path, tiny: Path, data: dict[str, str], ppo_inputs: dict[str, Any]) -> Path:
    """What one process makes of the cases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLON_CACHE", str(folder / "cache-alone"))
        train(write_plan(folder, "alone", tiny, data, ppo_inputs))
    return folder / "alone"


@pytest.fixture(scope="module")
def ddp(folder: Path, tiny: Path, data: dict[str, str], ppo_inputs: dict[str, Any]) -> str:
    """What two processes make of them and say, the last command being wrong."""
    wrong = command(folder / "wrong", tiny, data, "batch_size=7", "micro_batch_size=1")
    plan = write_plan(folder, "ddp", tiny, data, ppo_inputs, wrong)
    process = train_together(folder, "ddp", plan)
    wait(process)
    said = (folder / "ddp.log").read_text()
    assert "exitcode  : 2" in said, said[-3000:]
    assert process.exitcode
    return said


@pytest.fixture(scope="module")
def fsdp2(folder: Path, tiny: Path, data: dict[str, str], ppo_inputs: dict[str, Any]) -> None:
    """What two processes that share their weights make of them, killed during the last command."""
    last = command(folder / "killed", tiny, data, *KILLED)
    plan = write_plan(folder, "fsdp2", tiny, data, ppo_inputs, last)
    process = train_together(folder, "fsdp2", plan)
    try:
        saved = folder / "killed" / "checkpoints"
        wait_until(lambda: [*saved.glob("checkpoint-*/digests.json")], process, 240)
    except AssertionError as error:
        raise AssertionError((folder / "fsdp2.log").read_text()[-3000:]) from error
    finally:
        kill(process)


@pytest.fixture(scope="module")
def zero3(folder: Path, tiny: Path, data: dict[str, str]) -> None:
    """What two processes make of some cases under DeepSpeed."""
    process = train_together(folder, "zero3", write_plan(folder, "zero3", tiny, data, {}))
    wait(process)
    assert process.exitcode == 0, (folder / "zero3.log").read_text()[-3000:]


@pytest.fixture
def together(request: pytest.FixtureRequest, folder: Path, way: str, case: str) -> Path:
    """What two processes made of the case."""
    request.getfixturevalue(way)
    return folder / way / case


def rows(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl, without what depends on the machine."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in SPEED} for line in lines]


def assert_rows(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The same metrics."""
    assert len(got) == len(expected)
    for row, other in zip(got, expected, strict=True):
        assert row.pop("split") == other.pop("split")
        if row["step"] == 1:  # before anything is learnt margins are what rounding makes of 0
            assert (row.pop("accuracy", None) is None) == (other.pop("accuracy", None) is None)
        assert row == pytest.approx(other, rel=1e-5, abs=1e-5)


def assert_same(got: Path, wanted: Path) -> None:
    """Metrics, results on held-out rows, and weights."""
    assert sum(row["split"] == "eval" for row in rows(wanted)) >= 2
    assert_rows(rows(got), rows(wanted))
    results = [json.loads((out / "training.json").read_text())["results"] for out in (got, wanted)]
    assert results[0] == pytest.approx(results[1], rel=1e-5, abs=1e-5)
    (name,) = (path.name for path in wanted.glob("*.safetensors"))
    weights, others = load_file(got / name), load_file(wanted / name)
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("way", "case"), [(way, case) for way, case in TRAINED if "bf16" not in case and SAVED not in case]
)
def test_two_processes_learn_what_one_learns(together: Path, alone: Path, case: str) -> None:
    assert_same(together, alone / case)


@pytest.mark.parametrize(("way", "case"), [(way, case) for way, case in TRAINED if "bf16" in case])
def test_in_bfloat16_two_processes_begin_where_one_does(together: Path, alone: Path, case: str) -> None:
    """What comes out of a sharded model is not rounded, and its reference is computed as it is itself."""
    first, other = (next(row for row in rows(out) if row["split"] == "train") for out in (together, alone / case))
    assert first["reward_margin"] == 0
    assert first["loss"] == pytest.approx(other["loss"], abs=1e-6)
    assert first["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-2)
    assert first.get("logp_chosen", 0) == pytest.approx(other.get("logp_chosen", 0), rel=1e-4)


@pytest.mark.parametrize(("way", "case"), [(way, case) for way, case in TRAINED if SAVED in case])
def test_what_is_saved_was_evaluated(together: Path, alone: Path, case: str) -> None:
    """Where weights are spread over processes too: merged, and rounded."""
    assert_rows(rows(together)[:-1], rows(alone / case)[:-1])  # of weights that are not rounded yet
    (file,) = together.glob("*.safetensors")
    saved, evaluated = load_file(file), dict[str, torch.Tensor]()
    for name, weight in torch.load(together / EVALUATED).items():
        if ".lora_" in name:
            assert not weight.any(), name
        else:
            named = name.removeprefix("model.").removeprefix("base_model.model.").replace(".base_layer.", ".")
            evaluated[named] = weight
    assert saved.keys() <= evaluated.keys()
    assert all(torch.equal(evaluated[name], weight.float()) for name, weight in saved.items())


@pytest.mark.parametrize("way", WRAPPERS)
@pytest.mark.parametrize("case", PPO_CASES)
def test_two_processes_of_ppo_learn_what_one_learns(
    folder: Path, alone: Path, case: str, way: str, request: pytest.FixtureRequest
) -> None:
    """5 prompts and 3 held-out ones are not the same number for each process, and neither are a minibatch's."""
    request.getfixturevalue(way)
    mine, theirs = alone / f"ppo_{case}", folder / way / f"ppo_{case}"
    for split in ("train", "eval"):
        expected = numbers(read(mine / "metrics.jsonl"), split)
        got = numbers(read(theirs / "metrics.jsonl"), split)
        assert len(got) == len(expected) >= 2
        for row, other in zip(got, expected, strict=True):
            assert row == pytest.approx(other, rel=1e-3, abs=1e-4)
    weights, others = (load_file(out / "model.safetensors") for out in (theirs, mine))
    torch.testing.assert_close(weights, others, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("fsdp2")
def test_a_killed_run_goes_on_under_the_same_settings(folder: Path, tiny: Path, data: dict[str, str]) -> None:
    out, single = folder / "killed", folder / "whole"
    assert not (out / "training.json").exists()
    process = launch(folder, "fsdp2", "-m", "training", *command(out, tiny, data, *KILLED), log=folder / "again.log")
    wait(process)
    said = (folder / "again.log").read_text()
    assert process.exitcode == 0, said[-3000:]
    assert said.count("checkpoint and model card") == 1
    assert "train      1/30" not in said
    settings = reading.load(DPO, None, KILLED, {"model": str(tiny), "data": {data["dpo"]: 1.0}})
    fit.run(job.prepare(settings, single), Console(quiet=True))
    assert_same(out, single)


def test_what_is_wrong_is_told(ddp: str, folder: Path) -> None:
    """By the process that found it first; the launcher may end the others before they print."""
    assert "batch_size: got 7; allowed: multiples of micro_batch_size (1) times processes (2), such as 8" in ddp
    assert not (folder / "wrong").exists()


def test_the_first_version_of_fsdp_is_refused(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(UserError, match=r"fsdp_version: got 1; allowed: 2; set it under fsdp_config"):
        job.prepare(DPO(model=str(tiny)), tmp_path)


def test_online_pairs_are_not_learnt_with_weights_spread_over_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(
        UserError, match="distributed_type: dpo --online keeps whole weights in each process; launch it with"
    ):
        prepare(reading.load(OnlineDPO, None, ["online.judge.constitution=x"]), tmp_path)


if __name__ == "__main__":
    sys.exit(train(Path(sys.argv[1])))
