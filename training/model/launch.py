"""The processes that train together under `accelerate launch`: who this one is, and how it shards."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DeepSpeedPlugin,
    DistributedType,
    FullyShardedDataParallelPlugin,
    broadcast,
    parse_flag_from_env,
)
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from constitution.errors import Problem, UserError
from constitution.records import MAIN
from generation.config import RunConfig
from generation.roles import place_of

_TOLD = {
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
    *("ROLE_NAME", "ROLE_RANK", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
}
"""What a launcher tells each process of the others, which torch.distributed of any process that it starts would join."""
_GPUS = "CUDA_VISIBLE_DEVICES"
ENGINES = "transformers, or endpoint and a server"
"""What judges and writes where several processes train."""


def on_cpu() -> bool:
    """True where training runs on CPUs: there is no GPU, or the launcher was told not to use it."""
    return not torch.cuda.is_available() or bool(parse_flag_from_env("ACCELERATE_USE_CPU"))


def state() -> Any:
    """accelerate's view of this process. The first call joins the others, over gloo on CPUs."""
    if on_cpu():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or DeepSpeed, where it is installed, says what it has found
    return PartialState(cpu=on_cpu())


def leave() -> None:
    """Part from the other processes once all are done: where one ends badly while another writes, the launcher ends both."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        state().wait_for_everyone()
        torch.distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """What starts meanwhile knows nothing of the other processes, and of the GPUs sees this one's alone."""
    told = state().num_processes > 1
    hidden = {
        n: v for n, v in os.environ.items() if told and (n in _TOLD or n.startswith("TORCHELASTIC_") or n == _GPUS)
    }
    for name in hidden:
        del os.environ[name]
    if told and not on_cpu():
        seen = hidden.get(_GPUS) or ",".join(map(str, range(torch.cuda.device_count())))
        os.environ[_GPUS] = seen.split(",")[state().local_process_index]
    try:
        yield
    finally:
        if told:
            os.environ.pop(_GPUS, None)
        os.environ.update(hidden)


def check_engine(place: str, engine: str, others: str) -> None:
    """Raises UserError where several processes train and a setting names vLLM. others: what to set there."""
    processes = state().num_processes
    if processes > 1 and engine == "vllm":
        got = f"got vllm with {processes} processes, each of which would start one"
        raise UserError(Problem("", place, got, fix=f"set {others}"))


def check_judges(place: str, run: RunConfig) -> None:
    """As `check_engine`, of the judges of settings that stand at `place`."""
    for name, role in run.roles().items():
        if name != MAIN:
            check_engine(f"{place}.{place_of(name)}engine", role.engine, ENGINES)


def sharded() -> bool:
    """True where the launcher asks for weights that are spread over processes, by FSDP2 or by DeepSpeed's ZeRO-3.

    Raises UserError for FSDP's first version, other stages of ZeRO, and where DeepSpeed is not installed.
    """
    if zero():
        return True
    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return False
    fix = "set it under fsdp_config, as configs/accelerate/fsdp2.yaml does"
    _only("fsdp_version", os.environ.get("FSDP_VERSION", "1"), "2", fix)
    return True


def zero() -> bool:
    """True where they are to be spread by ZeRO-3. Raises as `sharded`."""
    if not parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        return False
    fix = "set it under deepspeed_config, as configs/accelerate/zero3.yaml does, or launch it with ddp.yaml"
    _only("zero_stage", os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"), "3", fix)
    if find_spec("deepspeed") is None:
        fix = "pip install 'solon-cai[deepspeed]', or launch it with configs/accelerate/fsdp2.yaml, which spreads the same"
        raise UserError(Problem("", "distributed_type", "got DEEPSPEED, which is not installed", fix=fix))
    return True


def _only(key: str, got: str, allowed: str, fix: str) -> None:
    if got != allowed:
        raise UserError(Problem("", key, f"got {got}", allowed, fix))


def refuse_zero(key: str, got: str) -> None:
    """Raises UserError under ZeRO-3 for what only works otherwise."""
    if zero():
        fix = "launch it with configs/accelerate/fsdp2.yaml, which spreads the same"
        raise UserError(Problem("", key, got, fix=fix))


def partition(accelerator: Accelerator, precision: str) -> None:
    """Ready a new accelerator to have DeepSpeed spread a model. precision: of the training settings.

    accelerate has DeepSpeed on accelerators alone. And it would keep weights in bfloat16 where that is the precision, and measure
    and save those; here they stay float32 under DeepSpeed's automatic mixed precision, as everywhere.
    """
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module="torch.distributed"
    )  # of calls that DeepSpeed makes
    plugin = accelerator.state.deepspeed_plugin or DeepSpeedPlugin()
    plugin.deepspeed_config["torch_autocast"] = {"enabled": precision == "bf16", "dtype": "bfloat16"}
    plugin.deepspeed_config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    accelerator.state.distributed_type = DistributedType.DEEPSPEED
    PartialState._shared_state["distributed_type"] = DistributedType.DEEPSPEED
    accelerator.state.deepspeed_plugins = {"default": plugin}


def shard(accelerator: Accelerator) -> None:
    """Ready a new accelerator to shard a model.

    accelerate shards on accelerators alone, PyTorch on CPUs as well. And accelerate would add gradients up in bfloat16 and
    round what the model returns to it, log-probabilities of hundreds of nats among that; here both stay float32.
    """
    accelerator.state.distributed_type = DistributedType.FSDP
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    plugin = getattr(accelerator.state, "fsdp_plugin", None) or FullyShardedDataParallelPlugin()
    accelerator.state.fsdp_plugin = plugin
    if accelerator.mixed_precision == "bf16":
        plugin.mixed_precision_policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


@torch.no_grad()  # type: ignore[untyped-decorator]
def spread(module: nn.Module, layers: Sequence[str], device: torch.device) -> None:
    """Give each process its part of a module's weights, which are the main process's; they are gathered layer by layer when used.

    layers: names of the classes that are gathered one by one. Between passes every weight is in parts.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.copy_(broadcast(tensor.detach().to(device, copy=True)))
    mesh = init_device_mesh(device.type, (state().num_processes,))
    for part in module.modules():
        if type(part).__name__ in layers:
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    module.to(device)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be spread over processes, each of which must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share(value: Tensor, like: Tensor) -> Tensor:
    """The main process's value, spread as `like` is; the value itself where that is whole. Every process must ask."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device, like.dtype), like.device_mesh, like.placements)


@torch.no_grad()  # type: ignore[untyped-decorator]
def put(weight: nn.Parameter, value: Tensor | None) -> None:
    """Give a weight that is spread over processes the main one's value, zeros for None. Every process must ask."""
    if isinstance(weight, DTensor):
        weight.copy_(share(torch.zeros(weight.shape) if value is None else value, weight))
        return
    from deepspeed.runtime.zero import GatheredParameters

    with GatheredParameters([weight], modifier_rank=0):
        if state().is_main_process:
            weight.copy_(torch.zeros_like(weight) if value is None else value)
