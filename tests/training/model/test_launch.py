"""Training in a single process, which joined nobody."""

import os
from pathlib import Path

import pytest
import torch

from constitution.errors import UserError
from training.model import launch
from training.ppo import job as ppo_job
from training.ppo.config import PPO
from training.recipes.config import DPO
from training.run import job


@pytest.fixture(autouse=True)
def joined() -> None:
    """This process has joined nobody yet, and would try to under the environment of a launcher."""
    launch.state()


def test_who_trains_alone_leaves_nobody() -> None:
    assert not torch.distributed.is_initialized()
    launch.leave()
    assert not launch.sharded()


def test_a_process_of_its_own_may_ask_vllm() -> None:
    launch.check_engine("sampler.engine", "vllm", "generate")


def test_what_starts_alone_is_told_of_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "a",
        "TORCHELASTIC_RUN_ID": "x",
        "CUDA_VISIBLE_DEVICES": "4,6",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with launch.alone():  # as it is where nobody else trains
        assert {name: os.environ[name] for name in told} == told
    monkeypatch.setattr(launch.state(), "num_processes", 2)
    monkeypatch.setattr(launch.state(), "local_process_index", 1)
    monkeypatch.setattr(launch, "on_cpu", lambda: False)
    with launch.alone():
        assert not {*told} & {*os.environ} - {"CUDA_VISIBLE_DEVICES"}
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    assert {name: os.environ[name] for name in told} == told


def test_training_is_on_cpus_where_the_launcher_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert launch.on_cpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    assert launch.on_cpu() == (not torch.cuda.is_available())


def test_what_of_deepspeed_is_not_supported_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(
        UserError, match=r"zero_stage: got 2; allowed: 3; set it under deepspeed_config, as .*zero3.yaml"
    ):
        launch.sharded()
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    monkeypatch.setattr(launch, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"got DEEPSPEED, which is not installed; pip install 'solon-cai\[deepspeed\]'"):
        launch.sharded()
    monkeypatch.setattr(launch, "find_spec", lambda _: True)
    assert launch.sharded()
    with pytest.raises(
        UserError, match="compile: got true, and layers that DeepSpeed gathers are not compiled; launch"
    ):
        job.prepare(DPO(model="none", compile=True), tmp_path)
    with pytest.raises(UserError, match="got DEEPSPEED, and PPO's models are spread by FSDP2 alone; launch it with"):
        ppo_job.prepare(PPO.model_validate({"reward": {"rules": {"constitution": "none"}}}), tmp_path)
