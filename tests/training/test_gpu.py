"""What only a GPU shows: its attention kernel, numbers that agree with the CPU's, and processes that talk over NCCL.

Skipped where there is none. The rest of the suite trains on the GPU too where there is one.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from benchmarks.tiny import some_pairs
from tests.forks import start, wait
from tests.training.model.test_attention import EXAMPLES, policy
from tests.training.ppo_small import numbers, run_small, small_inputs
from tests.training.run.test_distributed import SHARED, accelerate_launch
from training.__main__ import main
from training.data.batches import collate
from training.model import attention
from training.run.metrics import read

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def on_gpu(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to("cuda") for name, value in batch.items()}


def test_the_variable_length_kernel_is_attention_and_has_its_gradient() -> None:
    batch = on_gpu(collate(EXAMPLES, "packed"))
    pieces, total = batch["segments"], batch["tokens"].numel()
    g = torch.Generator("cuda").manual_seed(0)
    shapes = ((1, 4, total, 64), (1, 2, total, 64), (1, 2, total, 64))
    wide = [torch.randn(s, generator=g, device="cuda").bfloat16().float().requires_grad_() for s in shapes]
    half = [x.detach().bfloat16().requires_grad_() for x in wide]
    weights = torch.randn(1, total, 4, 64, generator=g, device="cuda")
    found, wanted = (attention.attend(None, *x, scaling=0.125, segments=pieces)[0] for x in (half, wide))
    assert (found.dtype, wanted.dtype) == (torch.bfloat16, torch.float32)
    assert (found.float() - wanted).norm() < 0.01 * wanted.norm()
    grads = [torch.autograd.grad((out.float() * weights).sum(), x) for out, x in ((found, half), (wanted, wide))]
    for ours, theirs in zip(*grads, strict=True):
        assert (ours.float() - theirs).norm() < 0.01 * theirs.norm()


def test_autocast_takes_that_kernel_though_rotary_positions_are_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    module = policy().cuda()
    calls = []
    plain = attention._varlen
    monkeypatch.setattr(attention, "_varlen", lambda *inputs: calls.append(inputs[0].dtype) or plain(*inputs))
    with torch.autocast("cuda", torch.bfloat16):
        module(on_gpu(collate(EXAMPLES, "packed")))
    assert calls == [torch.bfloat16] * 2  # each layer


def test_a_compiled_layer_is_one_piece_with_that_kernel_in_it() -> None:
    batch = on_gpu(collate(EXAMPLES, "packed"))
    plain, fused = policy().cuda(), policy().cuda()
    fused.compile_layers()
    torch.compiler.reset()
    counters.clear()
    with torch.autocast("cuda", torch.bfloat16):
        wanted, found = plain(batch).logprobs, fused(batch).logprobs
    assert counters["stats"]["unique_graphs"] == 1  # both layers share it
    assert (found - wanted).abs().max() < 0.1


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_log_probabilities_are_the_cpus(family: str, layout: Any) -> None:
    module = policy(family, packed=layout == "packed")
    batch = collate(EXAMPLES, layout)
    wanted = module(batch).logprobs
    module = module.cuda()
    torch.testing.assert_close(module(on_gpu(batch)).logprobs.cpu(), wanted, rtol=0, atol=1e-3)
    with torch.autocast("cuda", torch.bfloat16):
        half = module(on_gpu(batch)).logprobs.cpu()
    assert (half - wanted).abs().max() < 0.1


@pytest.mark.parametrize("way", ["ddp", "fsdp2", "offload"])
def test_one_process_over_nccl_learns_what_it_learns_alone(
    way: str, tiny: Path, tmp_path: Path, write_rows: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped configurations; `offload` has weights and optimizer in main memory."""
    data = write_rows(some_pairs(45))
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    rest = ["--model", str(tiny), "--data", str(data), *(part for s in SHARED for part in ("--set", s))]
    assert main(["dpo", *rest, "--out", str(tmp_path / "alone")]) == 0
    text = (ROOT / "configs" / "accelerate" / f"{'ddp' if way == 'ddp' else 'fsdp2'}.yaml").read_text()
    if way == "offload":
        text = text.replace("fsdp_offload_params: false", "fsdp_offload_params: true")
    config = tmp_path / "accelerate.yaml"
    config.write_text(text)
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "other"))
    arguments = ["--config_file", str(config), "--num_processes", "1", "-m", "training", "dpo", *rest]
    process = start(accelerate_launch, *arguments, "--out", str(tmp_path / way), log=tmp_path / "log")
    wait(process)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    found, wanted = (
        [row.values["loss"] for row in read(tmp_path / run / "metrics.jsonl") if "loss" in row.values]
        for run in (way, "alone")
    )
    assert len(wanted) == 6
    assert found == pytest.approx(wanted, rel=1e-3)


def test_ppo_writes_and_learns(tmp_path: Path) -> None:
    """In float32 what is written and what is trained agree: the ratio begins at 1."""
    rows = run_small(tmp_path / "out", small_inputs(tmp_path))
    for row in numbers(rows):
        assert row["ratio"] == pytest.approx(1, abs=1e-3)
    said = json.loads((tmp_path / "out" / "training.json").read_text())
    assert said["steps"] == 3
