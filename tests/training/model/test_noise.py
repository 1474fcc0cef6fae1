"""A model that is trained is its own reference, whatever noise it would draw; adapters keep their dropout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    DbrxConfig,
    FalconConfig,
    GPT2Config,
    MixtralConfig,
    OPTConfig,
    PersimmonConfig,
    PhimoeConfig,
    PretrainedConfig,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles
from training.config import Lora
from training.data.batches import Batch, Example, collate
from training.model import noise
from training.model.loading import load_policy, load_reward
from training.recipes.config import DPO, Reward

SMALL = {"vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
         "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}  # fmt: skip
EXPERTS = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
DROPS = {"hidden_dropout": 0.5, "attention_dropout": 0.5}
NOISY: dict[str, PretrainedConfig] = {
    "phimoe": PhimoeConfig(**EXPERTS, router_jitter_noise=0.5),
    "mixtral": MixtralConfig(**EXPERTS, router_jitter_noise=0.1),
    "falcon": FalconConfig(**SMALL, **DROPS),
    "persimmon": PersimmonConfig(**SMALL, **DROPS, intermediate_size=48),
    "opt": OPTConfig(**{**SMALL, "pad_token_id": 1}, ffn_dim=48, word_embed_proj_dim=32, layerdrop=0.5, dropout=0.5),
    "gpt2": GPT2Config(vocab_size=24, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=None, eos_token_id=None),
    "dbrx": DbrxConfig(
        vocab_size=24, d_model=32, n_layers=2, n_heads=4, max_seq_len=64, resid_pdrop=0.5, emb_pdrop=0.5, pad_token_id=None,
        ffn_config={"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2, "moe_jitter_eps": 0.3, "hidden_size": 32},
        attn_config={"kv_n_heads": 2, "attn_pdrop": 0.5, "rope_theta": 1e4, "clip_qkv": 8.0},
    ),
}  # fmt: skip
ROWS = [Example([1, 8, 9, 10], [[11, 12, 13, 2], [14, 2]]), Example([1, 9], [[15, 16, 2]])]


@pytest.fixture(scope="module", params=NOISY)
def noisy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    folder: Path = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(NOISY[request.param])
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder).train()
    tokens = torch.tensor([[1, 8, 9, 10, 11, 12, 13, 2]])
    with torch.no_grad():
        assert not torch.allclose(plain(tokens).logits, plain(tokens).logits, rtol=0, atol=1e-3), (
            "it is noisy by itself"
        )
    return ModelFiles(request.param, folder, "0" * 32, 64)


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("layout", ["auto", "padded"])
def test_two_passes_in_training_agree_with_evaluation(noisy: ModelFiles, layout: Any, recomputed: bool) -> None:
    module = load_policy(noisy, DPO(layout=layout, gradient_checkpointing=recomputed)).train()
    batch = collate(ROWS, module.layout)
    first, second = module(batch).logprobs, module(batch).logprobs
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
    torch.testing.assert_close(first, module.eval()(batch).logprobs, rtol=0, atol=1e-5)
    first.sum().backward()
    assert all(p.grad is not None for p in module.parameters() if p.dim() > 1)


def test_recomputing_changes_no_gradient_and_recomputes(noisy: ModelFiles) -> None:
    found = []
    runs: list[int] = []
    for recomputed in (False, True):
        module = load_policy(noisy, DPO(gradient_checkpointing=recomputed)).train()
        runs.clear()
        for layer in module.modules():
            if type(layer).__name__ in (module.inner._no_split_modules or ()):
                layer.register_forward_pre_hook(lambda *_: runs.append(1))
        module(collate(ROWS, module.layout)).logprobs.sum().backward()
        found.append((len(runs), {name: p.grad for name, p in module.named_parameters() if p.grad is not None}))
    (once, grads), (twice, others) = found
    assert twice == 2 * once
    for name, grad in grads.items():
        torch.testing.assert_close(others[name], grad, rtol=1e-4, atol=1e-5)


def test_an_adapters_dropout_stays_and_is_off_in_evaluation(tiny_files: ModelFiles) -> None:
    module = load_policy(tiny_files, DPO(lora=Lora(r=4, dropout=0.5))).train()
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weight)
    batch = collate(ROWS, "packed")
    assert (module(batch).logprobs - module(batch).logprobs).abs().max() > 1e-3
    module.eval()
    assert torch.equal(module(batch).logprobs, module(batch).logprobs)


@pytest.mark.parametrize("load", ["policy", "reward"])
def test_noise_that_cannot_be_turned_off_is_refused(
    tiny_files: ModelFiles, monkeypatch: pytest.MonkeyPatch, load: str
) -> None:
    """A norm that draws in evaluation mode too, as a model's own code might."""
    monkeypatch.setattr(LlamaRMSNorm, "forward", lambda self, x: x * (1 + 0.01 * torch.randn_like(x)))
    with pytest.raises(ModelError, match="it draws noise in training; set its dropout and jitter to 0"):
        _ = load_policy(tiny_files, DPO()) if load == "policy" else load_reward(tiny_files, 1, Reward())


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_row_that_depends_on_those_beside_it_is_refused(layout: Any) -> None:
    def centred(batch: Batch) -> Tensor:
        states = batch["tokens"].flatten()[:, None].float().repeat(1, 4)
        return states - states.mean(0)

    with pytest.raises(ModelError, match="what it computes for a row depends on the rows beside it"):
        noise.check(centred, layout, "m")
    noise.check(lambda batch: batch["tokens"].flatten()[:, None].float(), layout, "m")


def test_a_model_that_cannot_recompute_is_told() -> None:
    class Plain(nn.Module):
        config = PretrainedConfig(model_type="plain")

        def gradient_checkpointing_enable(self, _: object) -> None:
            raise ValueError

    with pytest.raises(ModelError, match="gradient_checkpointing: got true, and model plain does not support it"):
        noise.recompute(Plain())
