"""Experts of a mixture are balanced by transformers' own measure of it, over the tokens of a whole step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DbrxConfig,
    DeepseekV3Config,
    GptOssConfig,
    GraniteMoeConfig,
    LlamaConfig,
    MixtralConfig,
    OlmoeConfig,
    PhimoeConfig,
    PretrainedConfig,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from benchmarks.tiny import make_tiny, some_pairs, some_targets
from constitution.errors import UserError
from generation.engines.base import ModelError
from training.config import Training
from training.data.batches import Example, Layout, collate
from training.model import experts
from training.model.experts import SHARES, TOKENS, Experts, balance_loss, largest_load, tokens_per_expert
from training.recipes.config import DPO, SFT, Reward
from training.run import fit, job

SMALL: dict[str, Any] = {
    "vocab_size": 24, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "num_experts_per_tok": 2, "bos_token_id": None, "eos_token_id": None,
    "pad_token_id": None,
}  # fmt: skip
FOUR = {"num_local_experts": 4}
OF_QWEN: dict[str, Any] = {"num_experts": 4, "moe_intermediate_size": 24}
MIXTURES: dict[str, PretrainedConfig] = {
    "mixtral": MixtralConfig(**SMALL, **FOUR),
    "olmoe": OlmoeConfig(**SMALL, num_experts=4),
    "qwen2_moe": Qwen2MoeConfig(**SMALL, **OF_QWEN, shared_expert_intermediate_size=24),
    "qwen3_moe": Qwen3MoeConfig(**SMALL, **OF_QWEN, head_dim=8),
    "gpt_oss": GptOssConfig(**SMALL, **FOUR, head_dim=8),
    "granitemoe": GraniteMoeConfig(**SMALL, **FOUR),
    "phimoe": PhimoeConfig(**SMALL, **FOUR),
}
ROWS = [Example([1, 8, 9, 10], [[11, 12, 13, 2], [14, 2]]), Example([1, 9], [[15, 16, 2]])]


def mixture(config: PretrainedConfig) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.mark.parametrize("kind", MIXTURES)
def test_what_routers_say_is_what_transformers_reads_of_them(kind: str) -> None:
    model = mixture(MIXTURES[kind])
    routers, tokens = Experts(model, 1.0), torch.tensor([[1, 8, 9, 10, 11, 3, 7]])
    with routers.recording() as found:
        output = model(tokens, output_router_logits=True)
    model(tokens)  # nobody listens
    assert len(found) == len(output.router_logits) == 2
    for (logits, chosen), theirs in zip(found, output.router_logits, strict=True):
        torch.testing.assert_close(logits, theirs.reshape(-1, 4))
        assert [set(row) for row in chosen.tolist()] == [
            set(row) for row in theirs.reshape(-1, 4).topk(2).indices.tolist()
        ]


def test_a_layer_has_transformers_own_loss_and_gradient() -> None:
    model = mixture(MixtralConfig(**{**SMALL, "num_hidden_layers": 1}, **FOUR))
    routers, row = Experts(model, 1.0), Example([1], [[8, 9, 10, 11, 3, 7, 2]])
    batch = collate([row], "padded")
    with routers.recording() as found:
        model(batch["tokens"])
    mine = [routing._replace(logits=routing.logits.detach().requires_grad_()) for routing in found]
    counts = tokens_per_expert(mine, batch)
    loss = balance_loss(mine, batch | {SHARES: counts[:-1] / counts[-1, 0], TOKENS: counts[-1, 0]})
    theirs = mine[0].logits.detach()[:-1].clone().requires_grad_()  # the last token predicts nothing
    wanted = load_balancing_loss_func((theirs,), 4, 2)
    assert isinstance(wanted, torch.Tensor)
    torch.testing.assert_close(loss, wanted)
    (gradient,) = torch.autograd.grad(loss, mine[0].logits)
    (expected,) = torch.autograd.grad(wanted, theirs)
    torch.testing.assert_close(gradient[:-1], expected)
    assert gradient[-1].abs().max() == 0


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_batches_add_up_to_the_step(layout: Layout) -> None:
    whole = [experts.Routing(torch.randn(40, 4), torch.randint(4, (40, 2))) for _ in range(3)]

    def part(rows: list[Example], start: int) -> tuple[list[experts.Routing], Any]:
        batch = collate(rows, layout)
        return [experts.Routing(logits[start:], chosen[start:]) for logits, chosen in whole], batch

    parts = [part(ROWS[:1], 0), part(ROWS[1:], 20)]
    total = sum(tokens_per_expert(*one) for one in parts)
    assert isinstance(total, torch.Tensor)
    assert total[-1].tolist() == [9, 9, 9, 9]
    assert total[:-1].sum(-1).tolist() == [18, 18, 18]
    shares, tokens = total[:-1] / total[-1, 0], total[-1, 0]
    loss = sum(balance_loss(found, batch | {SHARES: shares, TOKENS: tokens}) for found, batch in parts)
    p = [
        torch.cat([found[layer].logits[batch["where"]] for found, batch in parts]).softmax(-1).mean(0)
        for layer in range(3)
    ]
    torch.testing.assert_close(loss, 4 * (shares * torch.stack(p)).sum(-1).mean())


def test_the_heaviest_expert_is_held_against_an_even_share() -> None:
    even, uneven = torch.full((2, 4), 0.5), torch.tensor([[2.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]])
    assert largest_load(even) == 1
    assert largest_load(uneven) == pytest.approx((4 + 1) / 2)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (LlamaConfig(**{**SMALL, "num_experts_per_tok": None}), "has no routers"),
        (DeepseekV3Config(**SMALL, n_routed_experts=4, n_group=1, topk_group=1, first_k_dense_replace=0), "by a bias in place of a loss"),
        (
            DbrxConfig(vocab_size=24, d_model=32, n_layers=1, n_heads=4, max_seq_len=64, pad_token_id=None,
                       ffn_config={"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
                       attn_config={"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0}),
            "does not say how many experts",
        ),
    ],
)  # fmt: skip
def test_models_without_such_routers_are_refused(config: PretrainedConfig, why: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ModelError, match=why) as caught:
        Experts(model, 1.0)
    assert "router_aux_loss" in str(caught.value)


@pytest.fixture(scope="module")
def tiny_mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("mixture"), experts=4)


@pytest.fixture
def trained(
    tiny_mixture: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> Callable[..., tuple[Any, list[float]]]:
    """Trains the tiny mixture: weights, and the load of the heaviest expert at each step."""

    def run(kind: type[Training] = SFT, **settings: Any) -> tuple[Any, list[float]]:
        rows = some_targets(24) if kind is SFT else some_pairs(24)
        plain = {
            "precision": "fp32",
            "batch_size": 8,
            "steps": 3,
            "report_to": (),
            "learning_rate": 1e-2,
            "warmup": 0,
            "test_fraction": 0,
        }
        given = {"model": str(tiny_mixture), "data": {str(write_rows(rows)): 1.0}, **plain, **settings}
        out = tmp_path / str(len([*tmp_path.iterdir()]))
        prepared = job.prepare(kind.model_validate(given), out)
        trainer = fit.build(prepared, fit.load(prepared))
        trainer.args.save_strategy = "no"
        trainer.train()
        logged = [row["expert_load"] for row in trainer.state.log_history if "expert_load" in row]
        return {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}, logged

    return run


@pytest.mark.model
@pytest.mark.parametrize(
    "settings",
    [{"micro_batch_size": 8}, {"micro_batch_size": 1}, {"gradient_checkpointing": True}, {"layout": "padded"}],
)
def test_a_step_is_the_same_however_it_is_cut_up(trained: Callable[..., Any], settings: dict[str, Any]) -> None:
    weights, loads = trained(router_aux_loss=0.5)
    others, other_loads = trained(router_aux_loss=0.5, **settings)
    assert loads == pytest.approx(other_loads, abs=1e-4)
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-5)


@pytest.mark.model
@pytest.mark.parametrize("kind", [SFT, DPO, Reward])
def test_the_loss_spreads_tokens_over_experts(trained: Callable[..., Any], kind: type[Training]) -> None:
    chosen = {"steps": 40, "learning_rate": 3e-3, "schedule": "constant", "batch_size": 24, "micro_batch_size": 12}
    _, free = trained(kind, router_aux_loss=1e-9, **chosen)
    _, even = trained(kind, router_aux_loss=10.0, **chosen)
    assert len(free) == len(even) == 40
    assert (
        sum(even[-20:]) / 20 < sum(free[-20:]) / 20 - 0.08
    )  # learning a few answers alone leaves some experts with most tokens


def test_it_is_refused_before_weights_load(tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> None:
    data = {str(write_rows(some_targets(8))): 1.0}
    with pytest.raises(UserError, match="has no routers"):
        job.prepare(SFT(model=str(tiny), data=data, router_aux_loss=0.1, batch_size=4), tmp_path / "out")
