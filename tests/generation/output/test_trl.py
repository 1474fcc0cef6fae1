"""TRL's trainers take a run's dataset as it is: one step of each, on a tiny model."""

from pathlib import Path
from typing import Any

import pytest

from constitution.principles import Constitution, Principle
from constitution.records import Message, PreferencePair, Prompt, Response, Vote
from generation.config import RunConfig
from generation.engines.quiet import quiet
from generation.output.card import write_card
from generation.output.dataset import DatasetWriter
from generation.output.exports.formats import write
from generation.output.manifest import Calls, Digests, Seconds, Tally, Tokens
from generation.output.records import Feedback

pytestmark = pytest.mark.model

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished dataset."""
    folder = tmp_path_factory.mktemp("run")
    laws = Constitution(
        name="laws",
        version=1,
        objectives={"good": 1.0},
        principles=(Principle(id="kind", objective="good", text="Be kind."),),
    )
    writer, tally = DatasetWriter(folder, laws, "judge", 0.2, False), Tally()
    for i in range(20):
        asked = Prompt(id=f"p{i}", messages=(Message(role="user", content=f"Question {i}"),))
        good, bad = (
            Response(f"p{i}/{n}", f"p{i}", Message(role="assistant", content=f"{n} answer"), "sampled", "")
            for n in ("good", "bad")
        )
        pair = PreferencePair(
            f"p{i}", good, bad, 0.7, {"good": 0.7}, (Vote(f"p{i}", good.id, bad.id, "kind", 0.7, -0.7),)
        )
        outcome = Feedback(asked, (good, bad), pairs=(pair,), targets=(good,))
        writer.write(outcome)
        tally.add(outcome)
    digests = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
    manifest = tally.manifest(
        Calls(made=0, reused=0),
        Tokens(prompt=0, cached=0, completion=0),
        Seconds(wall=0, engine=0),
        writer.close(),
        digests,
    )
    write_card(folder, manifest, laws, RunConfig())
    manifest.write(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A word-level tokenizer with a chat template."""
    quiet()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [
        "<pad>",
        "<unk>",
        "<|end|>",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "Question",
        "good",
        "bad",
        "answer",
        *map(str, range(20)),
    ]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>", "<|system|>"],
    )  # fmt: skip
    made.chat_template = TEMPLATE
    return made


def tiny(tokenizer: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder), "max_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True,
        "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1,
    }  # fmt: skip


def pairs(run_folder: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(run_folder), "preferences", cache_dir=str(cache))


def test_dpo_takes_one_step(run_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer

    LlamaForCausalLM(tiny(tokenizer)).save_pretrained(tmp_path / "model")  # TRL loads the reference from the same place
    trainer = DPOTrainer(
        str(tmp_path / "model"),
        args=DPOConfig(**arguments(tmp_path)),
        train_dataset=pairs(run_folder, tmp_path)["train"],
        processing_class=tokenizer,
    )
    result = trainer.train()
    assert result.training_loss == pytest.approx(0.6931, abs=1e-3)  # ln 2: policy and reference are one


def test_the_reward_model_takes_one_step(run_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    config = tiny(tokenizer)
    config.num_labels = 1
    model = LlamaForSequenceClassification(config)
    trainer = RewardTrainer(
        model,
        args=RewardConfig(**arguments(tmp_path)),
        train_dataset=pairs(run_folder, tmp_path)["train"],
        processing_class=tokenizer,
    )
    assert trainer.train().training_loss > 0


def test_kto_takes_one_step_on_exported_rows(run_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    from datasets import load_dataset
    from transformers import LlamaForCausalLM
    from trl import KTOConfig, KTOTrainer

    write(run_folder, "kto", tmp_path / "kto.jsonl")
    rows = load_dataset("json", data_files=str(tmp_path / "kto.jsonl"), split="train", cache_dir=str(tmp_path))
    assert rows["label"].count(True) == rows["label"].count(False) == 20
    LlamaForCausalLM(tiny(tokenizer)).save_pretrained(tmp_path / "model")
    trainer = KTOTrainer(
        str(tmp_path / "model"), args=KTOConfig(**arguments(tmp_path)), train_dataset=rows, processing_class=tokenizer
    )
    assert trainer.train().training_loss == pytest.approx(0.5, abs=1e-3)  # 1 - sigmoid(0): policy and reference are one
