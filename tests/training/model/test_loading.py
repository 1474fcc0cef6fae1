"""The modules that are trained: what they read, what they refuse, and what an adapter leaves alone."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertGenerationConfig,
    BertGenerationDecoder,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Llama4ForCausalLM,
    Llama4TextConfig,
    RobertaConfig,
    RobertaForCausalLM,
)

from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.files import resolve
from training.config import Lora
from training.data.batches import Example, collate
from training.model import launch
from training.model.loading import load_critic, load_policy, load_reward
from training.model.modules import RewardModel
from training.model.padding import choose_padding
from training.recipes.config import DPO, SFT, Reward
from training.run.trainer import arguments

END = 2
"""Ends a turn in the tiny model, and is its padding as well."""
ROWS = [Example([1, 8, 9, 10], [[11, 12, 13, END], [14, END]]), Example([1, 9], [[15, 16, END]])]


def woken(files: ModelFiles, heads: int = 1, **settings: Any) -> RewardModel:
    """A reward model whose head is not zero."""
    module = load_reward(files, heads, Reward(**settings)).eval()
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module.inner.score.weight.copy_(torch.randn(heads, 32, generator=g))
    return module


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_temperature_divides_the_logits(tiny_files: ModelFiles, layout: Any) -> None:
    module = load_policy(tiny_files, SFT(layout=layout)).eval()
    logits = module.model(torch.tensor([[1, 8, 9, 10, 11, 12, 13, END]]), **plain(module)).logits[0, 3:-1] / 0.5
    scores = module(collate(ROWS[:1], layout), temperature=0.5)
    wanted = logits.log_softmax(-1)
    torch.testing.assert_close(scores.logprobs[:4], wanted[range(4), ROWS[0].responses[0]], rtol=0, atol=1e-5)
    torch.testing.assert_close(scores.entropy[:4], -(wanted.exp() * wanted).sum(-1), rtol=0, atol=1e-5)


def plain(module: Any) -> dict[str, Any]:
    """What a packed model must be told to look at one whole sequence."""
    batch = collate([Example([0] * 4, [[0] * 4])], module.layout)
    return {"segments": batch["segments"]} if module.layout == "packed" else {}


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_reward_is_read_at_the_last_kept_token_and_transformers_reads_another(
    tiny_files: ModelFiles, layout: Any
) -> None:
    module = woken(tiny_files, layout=layout)
    rewards = module(collate(ROWS, layout))[:, 0]
    alone = [[*row.prompt, *response] for row in ROWS for response in row.responses]
    hidden = [load_plain(tiny_files).model(torch.tensor([ids])).last_hidden_state[0] for ids in alone]
    head = module.inner.score.weight[0]
    torch.testing.assert_close(rewards, torch.stack([h[-1] @ head for h in hidden]), rtol=0, atol=1e-5)
    # transformers takes the last token that is not padding: with padding that ends turns, the one before
    theirs = load_plain(tiny_files)
    theirs.score.weight.data.copy_(module.inner.score.weight)
    theirs.config.pad_token_id = END
    pooled = torch.cat([theirs(torch.tensor([ids])).logits[0] for ids in alone])
    torch.testing.assert_close(pooled, torch.stack([h[-2] @ head for h in hidden]), rtol=0, atol=1e-5)
    assert (pooled - rewards).abs().min() > 1e-3


def load_plain(files: ModelFiles) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(files.path, num_labels=1).eval()


def test_values_are_read_before_each_token(tiny_files: ModelFiles) -> None:
    module = woken(tiny_files, heads=2)
    values = module(collate(ROWS, "packed"), tokens=True)
    hidden = load_plain(tiny_files).model(torch.tensor([[1, 8, 9, 10, 11, 12, 13, END]])).last_hidden_state[0]
    assert values.shape == (9, 2)
    torch.testing.assert_close(values[:4], hidden[3:-1] @ module.inner.score.weight.T, rtol=0, atol=1e-5)


def test_new_heads_are_zero_and_a_reward_models_own_are_kept(tiny_files: ModelFiles, tmp_path: Path) -> None:
    module = load_reward(tiny_files, 3, Reward(heads=3))
    assert module(collate(ROWS, "packed")).tolist() == [[0.0] * 3] * 3
    trained = woken(tiny_files)
    trained.inner.save_pretrained(tmp_path)
    again = load_reward(ModelFiles("again", tmp_path, "0" * 32, 128), 1, Reward())
    assert again.inner.score.weight.tolist() == trained.inner.score.weight.tolist()


def test_padding_is_a_token_that_no_conversation_holds(tiny_files: ModelFiles) -> None:
    tokenizer, config = load_tokenizer(tiny_files), load_plain(tiny_files).config
    assert (tokenizer.pad_token_id, config.pad_token_id) == (END, END)
    choose_padding(tokenizer, config, END)
    assert (tokenizer.pad_token_id, config.pad_token_id) == (0, 0)  # <|endoftext|>, which the template never writes


def test_padding_that_is_fine_stays(tiny_files: ModelFiles) -> None:
    tokenizer, config = load_tokenizer(tiny_files), load_plain(tiny_files).config
    config.pad_token_id = 3
    choose_padding(tokenizer, config, END)
    assert (tokenizer.pad_token, config.pad_token_id) == ("<unk>", 3)


def test_an_adapter_changes_nothing_at_first_and_is_off_for_the_reference(tiny_files: ModelFiles) -> None:
    batch = collate(ROWS, "packed")
    base = load_policy(tiny_files, DPO()).eval()(batch).logprobs
    module = load_policy(tiny_files, DPO(lora=Lora(r=4))).eval()
    torch.testing.assert_close(module(batch).logprobs, base, rtol=0, atol=1e-6)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
    assert (module(batch).logprobs - base).abs().max() > 1e-3
    torch.testing.assert_close(module(batch, reference=True).logprobs, base, rtol=0, atol=1e-6)
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert trained < 0.5 * sum(p.numel() for p in module.parameters())


def test_a_whole_model_has_no_adapter_to_turn_off(tiny_files: ModelFiles) -> None:
    with pytest.raises(ValueError, match="only a model with an adapter is its own reference"):
        load_policy(tiny_files, DPO())(collate(ROWS, "packed"), reference=True)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (("q_prog",), "lora.targets: no layer of the model is named q_prog (did you mean q_proj?); allowed: down"),
        (("q_proj", "w1"), "lora.targets: no layer of the model is named w1; allowed: down_proj, gate_proj, k_proj"),
        (("q_proj", "lm_head"), "allowed: layers between the embedding and the head, such as all-linear"),
        (("embed_tokens",), "allowed: layers between the embedding and the head, such as all-linear"),
    ],
)
def test_targets_that_cannot_be_adapted_are_refused(
    tiny_files: ModelFiles, targets: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ModelError) as error:
        load_policy(tiny_files, SFT(lora=Lora(targets=targets)))
    assert text in str(error.value)


SMALL = {"vocab_size": 24, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def test_heads_that_are_more_than_a_linear_layer_are_refused(tmp_path: Path) -> None:
    RobertaForCausalLM(RobertaConfig(**SMALL, is_decoder=True)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="its head is more than one linear layer"):
        load_policy(ModelFiles("dense", tmp_path, "0" * 32, 128), SFT())


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    config = BertGenerationConfig(**SMALL, max_position_embeddings=64)
    BertGenerationDecoder(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="what it says of a token depends on tokens that come later"):
        load_policy(ModelFiles("ahead", tmp_path, "0" * 32, 64), SFT())


def gemma2(folder: Path, **caps: float) -> ModelFiles:
    """Large weights, so that a cap shows."""
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=8, num_key_value_heads=2, pad_token_id=0, **caps))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    model.save_pretrained(folder)
    return ModelFiles("gemma2", folder, "0" * 32, 128)


def test_soft_caps_are_computed(tmp_path: Path) -> None:
    """In the head by the losses, in attention by the one implementation of transformers' that does."""
    files = gemma2(tmp_path, final_logit_softcapping=3.0, attn_logit_softcapping=0.5)
    own = Gemma2ForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    ids = torch.tensor([[1, 8, 9, 10, 11, 12, 13, END]])
    with torch.no_grad():
        logits = own(ids).logits[0, 3:-1]
        hidden = own.model(ids).last_hidden_state[0, -1]
    module = load_policy(files, SFT(layout="auto")).eval()
    assert logits.abs().max() < 3.0
    wanted = logits.log_softmax(-1)[range(4), ROWS[0].responses[0]]
    torch.testing.assert_close(module(collate(ROWS, module.layout)).logprobs[:4], wanted, rtol=0, atol=1e-4)
    assert module.config._attn_implementation == "eager"
    reward = woken(files)
    rewards = reward(collate(ROWS, reward.layout))
    torch.testing.assert_close(rewards[0, 0], hidden @ reward.inner.score.weight[0], rtol=1e-4, atol=1e-4)
    without = Gemma2ForCausalLM.from_pretrained(tmp_path, attn_implementation="sdpa").eval()
    assert (without.model(ids).last_hidden_state[0, -1] - hidden).abs().max() > 0.01


def test_a_model_whose_class_names_another_trunk_is_trained(tmp_path: Path) -> None:
    """Llama 4's language model on its own."""
    more = {"num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "moe_layers": []}
    config = Llama4TextConfig(
        **SMALL, **more, intermediate_size_mlp=48, pad_token_id=0, layer_types=["full_attention"] * 2
    )
    torch.manual_seed(0)
    own = Llama4ForCausalLM(config).eval()
    own.save_pretrained(tmp_path)
    module = load_policy(ModelFiles("llama4", tmp_path, "0" * 32, 128), SFT(layout="padded")).eval()
    with torch.no_grad():
        logits = own(torch.tensor([[1, 8, 9, 10, 11, 12, 13, END]])).logits[0, 3:-1]
    wanted = logits.log_softmax(-1)[range(4), ROWS[0].responses[0]]
    torch.testing.assert_close(module(collate(ROWS, "padded")).logprobs[:4], wanted, rtol=0, atol=1e-4)


def test_a_damaged_folder_is_one_message(tmp_path: Path) -> None:
    for config, text in (
        ('{"model_type": "llama", "vocab_size": 24}', "transformers cannot load it"),
        ('{"model_type": "llama", "vocab_size": "many"}', "transformers cannot read its config.json"),
        ('{"model_type": "novel"}', "transformers cannot read its config.json"),
        (
            '{"model_type": "novel", "auto_map": {"AutoModel": "m.M"}}',
            "needs code of its own .auto_map in config.json.",
        ),
    ):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(ModelError, match=text):
            load_policy(ModelFiles("x", tmp_path, "0" * 32, 128), SFT())


def changed(source: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> ModelFiles:
    """A copy of a checkpoint with other weights."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return ModelFiles(folder.name, folder, "0" * 32, 128)


LAYER = "model.layers.1.mlp.down_proj.weight"
NORM = "model.norm.weight"
CHANGES = [
    pytest.param(
        lambda w: w.pop(LAYER), f"missing tensors, which would be random numbers: {LAYER};", id="layer-missing"
    ),
    pytest.param(lambda w: (w.pop(LAYER), w.pop(NORM)), f"random numbers: {LAYER}, {NORM};", id="two-missing"),
    pytest.param(
        lambda w: w.update({LAYER + "x": w.pop(LAYER)}),
        f"tensors without a place in the model: {LAYER}x;",
        id="renamed",
    ),
    pytest.param(
        lambda w: w.update({NORM: torch.ones(3)}),
        f"tensors of another size than config.json says: {NORM};",
        id="another-size",
    ),
    pytest.param(
        lambda w: w[LAYER].view(-1)[3:4].fill_(float("nan")),
        f"weights that are not finite: {LAYER};",
        id="not-a-number",
    ),
    pytest.param(
        lambda w: w[NORM].view(-1)[3:4].fill_(float("inf")), f"weights that are not finite: {NORM};", id="infinite"
    ),
    pytest.param(
        lambda w: w.update({"model.layers.7.mlp.down_proj.weight": w[LAYER].clone()}),
        "tensors without a place in the model: model.layers.7.mlp.down_proj.weight;",
        id="more-layers-than-described",
    ),
]


@pytest.mark.parametrize(("change", "text"), CHANGES)
def test_a_checkpoint_whose_weights_are_not_the_models_is_refused(
    tiny_files: ModelFiles, tmp_path: Path, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    files = changed(tiny_files.path, tmp_path / "changed", change)
    for load in (
        lambda: load_policy(files, SFT()),
        lambda: load_reward(files, 1, Reward()),
        lambda: load_critic(files, SFT()),
    ):
        with pytest.raises(ModelError, match=re.escape(text)):
            load()


def test_a_reward_model_is_no_policy_and_needs_its_head(tiny_files: ModelFiles, tmp_path: Path) -> None:
    """Without the check the policy's head would be random, and so would the reward model's."""
    trained = woken(tiny_files)
    trained.config.tie_word_embeddings = False  # else a policy's head is its embedding
    trained.inner.save_pretrained(tmp_path / "reward")
    with pytest.raises(ModelError, match=r"random numbers: lm_head.weight;"):
        load_policy(ModelFiles("reward", tmp_path / "reward", "0" * 32, 128), SFT())
    headless = changed(tmp_path / "reward", tmp_path / "headless", lambda w: w.pop("score.weight"))
    for load in (lambda: load_reward(headless, 1, Reward()), lambda: load_critic(headless, SFT())):
        with pytest.raises(ModelError, match=r"without its head \(no tensor score.weight\)"):
            load()


def test_a_reward_model_with_another_number_of_heads_starts_from_zeros(tiny_files: ModelFiles, tmp_path: Path) -> None:
    settings = Reward.model_validate({"heads": 1})
    first = load_reward(tiny_files, 3, settings)
    torch.nn.init.normal_(first.inner.score.weight)
    first.inner.save_pretrained(tmp_path)
    load_tokenizer(tiny_files).save_pretrained(tmp_path)
    files = resolve(str(tmp_path))
    assert torch.equal(load_reward(files, 3, settings).inner.score.weight, first.inner.score.weight)
    other = load_reward(files, 2, settings)
    assert torch.equal(other.inner.score.weight, torch.zeros(2, 32))
    assert (other.config.num_labels, other.config.reward_heads) == (2, 2)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_models_own_dropout_is_off_and_an_adapters_is_not(
    tiny_files: ModelFiles, tmp_path: Path, layout: Any
) -> None:
    """A model that drops at random is not its own reference: DPO's first loss would not be ln 2."""
    model = AutoModelForCausalLM.from_pretrained(tiny_files.path, attention_dropout=0.5)
    model.save_pretrained(tmp_path)
    load_tokenizer(tiny_files).save_pretrained(tmp_path)
    files = resolve(str(tmp_path))
    module = load_policy(files, DPO(layout=layout)).train()
    batch = collate(ROWS, layout)
    torch.testing.assert_close(module(batch).logprobs, module.eval()(batch).logprobs)
    assert module.config.attention_dropout == 0.5  # which is the checkpoint's own
    adapted = load_policy(files, DPO(layout=layout, lora=Lora(r=4, dropout=0.25)))
    assert {p.p for name, p in adapted.named_modules() if isinstance(p, torch.nn.Dropout) and "lora" in name} == {0.25}


def test_every_kind_of_dropout_is_off(tmp_path: Path) -> None:
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "vocab_size": 4, "bos_token_id": 1, "eos_token_id": 2}
    GPT2LMHeadModel(GPT2Config(**sizes, n_positions=8)).save_pretrained(tmp_path)
    module = load_policy(ModelFiles("x", tmp_path, "0" * 32, 8), SFT()).train()
    batch = collate([Example([1], [[3, 2]])], module.layout)
    torch.testing.assert_close(module(batch).logprobs, module.eval()(batch).logprobs)


def test_without_a_launcher_one_gpu_trains_and_not_all_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """transformers would hand each of two GPUs half of a batch's tensors, whose first dimensions are not rows."""
    monkeypatch.setattr(launch, "on_cpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    made = arguments(SFT(precision="fp32", batch_size=8, micro_batch_size=2), tmp_path, 10, 1, evaluate=False)
    assert (made.n_gpu, made.train_batch_size, made.gradient_accumulation_steps) == (1, 2, 4)
