"""Heads in float32: which checkpoints have one that is made of ordinary numbers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from generation.engines.checkpoint import ModelFiles
from generation.engines.float32_head import compute_head_in_float32, has_plain_head

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


class Model(torch.nn.Module):
    """A head alone."""

    def __init__(self, head: torch.nn.Module) -> None:
        super().__init__()
        self.head = head

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head


@pytest.mark.parametrize("bias", [False, True])
def test_logits_of_a_bfloat16_head_are_not_rounded(bias: bool) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(64, 16, bias=bias, dtype=torch.bfloat16)
    hidden = 9 * torch.randn(2, 3, 64, dtype=torch.bfloat16)
    exact = hidden.float() @ head.weight.float().T + (head.bias.float() if bias else 0)
    compute_head_in_float32(Model(head))
    logits = head(hidden)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact)


def test_heads_in_float32_or_of_another_kind_stay_as_they_are() -> None:
    plain, other = torch.nn.Linear(4, 2), torch.nn.Embedding(4, 2, dtype=torch.bfloat16)
    for head in (plain, other):
        compute_head_in_float32(Model(head))
        assert "forward" not in vars(head)
