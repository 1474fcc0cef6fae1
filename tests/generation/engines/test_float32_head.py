"""Heads in float32: which checkpoints have one that is made of ordinary numbers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from generation.engines.checkpoint import ModelFiles
from generation.engines.float32_head import has_plain_head

HEAD = torch.zeros(4, 2)


@pytest.mark.parametrize(
    ("shards", "plain"),
    [
        pytest.param([{"lm_head.weight": HEAD.to(torch.bfloat16)}], True, id="bfloat16"),
        pytest.param([{"language_model.lm_head.weight": HEAD, "language_model.lm_head.bias": HEAD[0].clone()}], True, id="inside-another"),
        pytest.param([{"model.embed_tokens.weight": HEAD.half()}], True, id="shared-with-the-embedding"),
        pytest.param([{"model.layers.0.mlp.up_proj.qweight": HEAD.int(), "lm_head.weight": HEAD}], True, id="layers-alone"),
        pytest.param([{"lm_head.qweight": HEAD.int(), "lm_head.scales": HEAD}], False, id="packed"),
        pytest.param([{"model.norm.weight": HEAD}, {"lm_head.weight": HEAD.to(torch.int8)}], False, id="bytes"),
        pytest.param([{"lm_head.weight": HEAD.to(torch.float8_e4m3fn), "lm_head.weight_scale": HEAD}], False, id="float8"),
    ],
)  # fmt: skip
def test_a_head_can_be_computed_in_float32_where_it_is_not_quantised(
    shards: list[dict[str, torch.Tensor]], plain: bool, tmp_path: Path
) -> None:
    for i, shard in enumerate(shards):
        save_file(shard, tmp_path / f"model-{i}.safetensors")
    assert has_plain_head(ModelFiles("x", tmp_path, "d", 8)) is plain
