"""A reward model is read right in a batch by transformers itself, also where only one special token exists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from benchmarks.tiny import WORDS, some_pairs
from training.recipes.config import Reward
from training.run import fit, job

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
END = 0


def bare(folder: Path, spare: int) -> Path:
    """A model whose tokenizer has one special token. spare: rows of its embedding without a token."""
    vocabulary = ["<|endoftext|>", ":", "user", "assistant", *WORDS]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="."))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(vocabulary) + spare, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=END, eos_token_id=END, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(model: Path, data: Path, out: Path, **settings: Any) -> job.Job:
    common = {"batch_size": 8, "steps": 2, "report_to": (), "learning_rate": 1e-2, "test_fraction": 0.2}
    prepared = job.prepare(
        Reward.model_validate({"model": str(model), "data": {str(data): 1.0}, **common, **settings}), out
    )
    fit.run(prepared, Console(quiet=True))
    return prepared


@pytest.mark.model
@pytest.mark.parametrize("spare", [0, 3])
def test_transformers_reads_a_batch_as_it_reads_each_row(
    tmp_path: Path, write_rows: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))
    prepared = train(bare(tmp_path / "bare", spare), write_rows(some_pairs(40)), tmp_path / "out")
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(prepared.out),
        AutoTokenizer.from_pretrained(prepared.out),
    )
    assert model.config.pad_token_id == tokenizer.pad_token_id != END
    assert model.get_input_embeddings().weight.shape[0] == (len(WORDS) + 4 + max(spare, 1))
    rows = [[*row.example.prompt, *response] for row in prepared.test.rows for response in row.example.responses]
    assert all(row[-1] == END for row in rows)
    with torch.no_grad():
        each = [model.score(model.model(torch.tensor([row])).last_hidden_state[0, -1]) for row in rows]
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        together = model(**batch).logits
    torch.testing.assert_close(together, torch.stack(each), rtol=0, atol=1e-4)
    assert json.loads((prepared.out / "training.json").read_text())["results"]["weights_moved"] > 0


@pytest.mark.model
def test_an_adapter_alone_says_that_its_padding_is_the_end(
    tmp_path: Path, write_rows: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))
    train(bare(tmp_path / "bare", 0), write_rows(some_pairs(40)), tmp_path / "out", lora={"r": 2, "merge": False})
    said = capsys.readouterr()
    assert "padding equals the token that ends a turn" in said.out + said.err
