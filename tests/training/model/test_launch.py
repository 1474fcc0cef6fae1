"""Training in a single process, which joined nobody."""

import pytest
import torch

from constitution.errors import UserError
from training.model import launch


def test_who_trains_alone_leaves_nobody() -> None:
    assert not torch.distributed.is_initialized()
    launch.leave()
    assert not launch.sharded()


def test_a_process_of_its_own_may_ask_vllm() -> None:
    launch.check_engine("sampler.engine", "vllm", "generate")


def test_training_is_on_cpus_where_the_launcher_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert launch.on_cpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    assert launch.on_cpu() == (not torch.cuda.is_available())


def test_deepspeed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(
        UserError, match=r"distributed_type: got DEEPSPEED; allowed: FSDP or MULTI_GPU; launch it with .*fsdp2.yaml"
    ):
        launch.sharded()
