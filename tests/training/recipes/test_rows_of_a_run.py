"""A run with tools, trained on by us and by TRL's trainers: the same tokens, and the same losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from generation.config import RunConfig
from generation.engines.quiet import quiet
from generation.models.encoder import Encoder
from generation.output.card import write_card
from generation.output.manifest import read
from tests.training.small_run import LAWS, write_run
from training.config import Training
from training.data import rows
from training.data.batches import Batch, by_response, collate
from training.data.encode import encode_pairs, encode_targets
from training.recipes.config import DPO, SFT, Reward
from training.recipes.losses import bradley_terry, dpo

pytestmark = pytest.mark.model

PROMPTS = 12
BETA = 0.3
TEMPLATE = (
    "{% if tools %}<|system|>{% for tool in tools %}{{ tool | tojson }} {% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% for c in m.get('tool_calls') or [] %}<|call|>{{ c['function'] | tojson }}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|call|>"]


@pytest.fixture(scope="module")
def trl() -> Any:
    """TRL, kept from talking."""
    quiet()
    import trl

    return trl


@pytest.fixture(scope="module")
def tokenizer(trl: Any) -> Any:
    """Bytes are tokens, and the template writes tools and calls of them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(["<pad>", *letters])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<|end|>", additional_special_tokens=CONTROL
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run"), PROMPTS, tools=True)
    manifest = read(folder)
    assert manifest is not None
    write_card(folder, manifest, LAWS, RunConfig())
    return folder


def tiny(tokenizer: Any, kind: str, seed: int, **more: Any) -> Any:
    """A random Llama whose weights are large enough that its opinions are strong."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        pad_token_id=0, eos_token_id=tokenizer.eos_token_id, initializer_range=0.3, max_position_embeddings=512, **more,
    )  # fmt: skip
    return getattr(transformers, kind)(config)


def settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"), "per_device_train_batch_size": 2 * PROMPTS, "report_to": "none", "use_cpu": True,
        "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True, "max_length": 512,
    }  # fmt: skip


def loaded(run: Path, name: str, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(run), name, split="train", cache_dir=str(cache))


def named(kind: type[Training], run: Path) -> Any:
    return kind(data={str(run): 1.0}, max_length=512)


def ours(batch: Batch, model: Any) -> Tensor:
    """Log-probabilities of the responses' tokens [N] under a model."""
    with torch.no_grad():
        logits = model(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
    return logits.flatten(0, 1)[batch["where"]].log_softmax(-1).gather(1, batch["targets"][:, None]).squeeze(1)


def theirs(trainer: Any) -> Tensor:
    """The trainer's loss of its one batch."""
    (batch,) = trainer.get_train_dataloader()
    with torch.no_grad():
        found = trainer.compute_loss(trainer.model.eval(), batch)
    assert isinstance(found, Tensor)
    return found


def test_sft(trl: Any, tokenizer: Any, run: Path, tmp_path: Path) -> None:
    model, asked = tiny(tokenizer, "LlamaForCausalLM", 1), named(SFT, run)
    trainer = trl.SFTTrainer(
        model,
        args=trl.SFTConfig(**settings(tmp_path)),
        train_dataset=loaded(run, "sft", tmp_path),
        processing_class=tokenizer,
    )
    encoded = encode_targets(rows.targets(asked).train, Encoder(tokenizer), asked).rows
    batch = collate([row.example for row in encoded], "padded")
    assert "<|call|>" in tokenizer.decode(encoded[0].example.responses[0])
    torch.testing.assert_close(-ours(batch, model).mean(), theirs(trainer), rtol=1e-4, atol=1e-4)


def test_dpo(trl: Any, tokenizer: Any, run: Path, tmp_path: Path) -> None:
    """On labels that are taken as certain: TRL knows no others."""
    policy, reference = (tiny(tokenizer, "LlamaForCausalLM", seed) for seed in (1, 2))
    asked = named(DPO, run)
    trainer = trl.DPOTrainer(
        policy, reference, args=trl.DPOConfig(**settings(tmp_path), beta=BETA),
        train_dataset=loaded(run, "preferences", tmp_path), processing_class=tokenizer,
    )  # fmt: skip
    encoded = encode_pairs(rows.pairs(asked).train, Encoder(tokenizer), asked, asked.labels).rows
    batch = collate([row.example for row in encoded], "padded")
    ratios = by_response(ours(batch, policy) - ours(batch, reference), batch)
    loss = dpo(ratios[0::2], ratios[1::2], torch.ones(len(encoded)), BETA, "sigmoid").mean()
    assert abs(loss.item() - 0.6931) > 0.01
    torch.testing.assert_close(loss, theirs(trainer), rtol=1e-4, atol=1e-4)


def test_reward(trl: Any, tokenizer: Any, run: Path, tmp_path: Path) -> None:
    model, asked = tiny(tokenizer, "LlamaForSequenceClassification", 3, num_labels=1), named(Reward, run)
    trainer = trl.RewardTrainer(
        model, args=trl.RewardConfig(**settings(tmp_path)), train_dataset=loaded(run, "preferences", tmp_path),
        processing_class=tokenizer,
    )  # fmt: skip
    encoded = encode_pairs(rows.pairs(asked).train, Encoder(tokenizer), asked, asked.labels).rows
    batch = collate([row.example for row in encoded], "padded")
    with torch.no_grad():
        hidden = model.model(input_ids=batch["tokens"], attention_mask=batch["mask"]).last_hidden_state
        scores = model.score(hidden).flatten()[batch["last"]]
    loss = bradley_terry(scores[0::2], scores[1::2], 1.0).mean()
    assert abs(loss.item() - 0.6931) > 0.01
    torch.testing.assert_close(loss, theirs(trainer), rtol=1e-4, atol=1e-4)
