"""PPO on replies from vLLM: the weights that it samples from are those that are trained, in every iteration."""

from pathlib import Path
from typing import Any

import pytest

from generation.engine import ModelError
from generation.vllm_engine import unavailable
from tests.training.ppo_small import numbers, run_small, small_inputs, small_model


@pytest.mark.model
@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["full", "lora"])
def test_vllm_samples_from_the_newest_weights(lora: dict[str, Any] | None, tmp_path: Path) -> None:
    """Steps are so large that replies from the weights before, or from the start, would show."""
    if reason := unavailable():
        pytest.skip(reason)
    inputs = small_inputs(tmp_path) | {
        "model": str(small_model(tmp_path / "wide", hidden_size=128, num_attention_heads=2))
    }
    vllm = {"dtype": "float32", "kv_cache_gb": 1, "gpu_memory_utilization": 0.2}
    inputs["sampler"] = {"engine": "vllm", "max_tokens": 8, "vllm": vllm}
    rows = numbers(run_small(tmp_path / "run", inputs, baseline="group", learning_rate=3e-2, lora=lora, passes=3))
    assert [row["mismatch"] < 1e-3 for row in rows] == [True, True, True]
    assert [row["mismatch_kl"] < 1e-4 for row in rows] == [True, True, True]
    assert rows[1]["kl"] > 0.2


@pytest.mark.model
def test_a_rank_beyond_what_vllm_takes_is_refused(tmp_path: Path) -> None:
    if reason := unavailable():
        pytest.skip(reason)
    inputs = small_inputs(tmp_path) | {"lora": {"r": 1024}, "sampler": {"engine": "vllm", "max_tokens": 8}}
    with pytest.raises(ModelError, match=r"lora.r: got 1024, and vLLM takes at most 512; set sampler.engine: generate"):
        run_small(tmp_path / "run", inputs)
