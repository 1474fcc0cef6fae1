"""What is saved of an adapter on weights in few bits, and that what is reported is of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel

from benchmarks.tiny import make_tiny, some_pairs, some_targets
from generation.engines.checkpoint import load_tokenizer
from generation.models.files import resolve
from tests.training.model.quantized.test_reading import quantized
from training.data.batches import Example, collate
from training.model.loading import load_policy
from training.model.quantized.merging import merged
from training.model.saving import save
from training.recipes.config import DPO, SFT
from training.run import fit, job
from training.run.metrics import read

SETTINGS: dict[str, Any] = {
    "batch_size": 4, "micro_batch_size": 2, "steps": 6, "learning_rate": 1e-2, "test_fraction": 0.4, "report_to": (),
    "precision": "fp32", "lora": {"r": 4},
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


def train(kind: Any, model: Path, data: Path, out: Path, **more: Any) -> tuple[job.Job, dict[str, Any]]:
    prepared = job.prepare(
        kind.model_validate({"model": str(model), "data": {str(data): 1.0}, **SETTINGS, **more}), out
    )
    return prepared, fit.run(prepared, Console(quiet=True))


@torch.no_grad()  # type: ignore[untyped-decorator]
def held_out(model: Any, prepared: job.Job) -> float:
    """The loss per token of the held-out rows, by transformers alone."""
    losses, tokens = 0.0, 0
    for row in prepared.test.rows:
        prompt, response = row.example.prompt, row.example.responses[0]
        logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        losses -= float(logits.gather(-1, torch.tensor(response)[:, None]).sum())
        tokens += len(response)
    return losses / tokens


@pytest.mark.model
@pytest.mark.parametrize(
    ("bits", "save_dtype"), [("4bit", "bfloat16"), ("8bit", "float32"), (None, "float32")], ids=["4", "8", "already"]
)
def test_what_is_reported_is_of_the_merged_weights(
    tiny: Path, tmp_path: Path, write_rows: Callable[..., Path], bits: str | None, save_dtype: str
) -> None:
    base = tiny if bits else quantized(tiny, tmp_path / "base", "4bit")
    more = {"quantize": bits, "save_dtype": save_dtype}
    prepared, told = train(SFT, base, write_rows(some_targets(30)), tmp_path / "out", **more)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto", attn_implementation="eager")
    assert saved.dtype == getattr(torch, save_dtype)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    assert {*load_file(tmp_path / "out" / "model.safetensors")} == {*load_file(tiny / "model.safetensors")}
    assert told["results"]["eval_loss"] == pytest.approx(held_out(saved.float(), prepared), rel=1e-5)
    assert 0.1 < told["results"]["weights_moved"] < 1  # of the base in few bits; embeddings and norms stay
    assert prepared.run_record["quantize"] == bits


@pytest.mark.model
def test_an_adapter_alone_is_measured_on_the_base_in_few_bits(
    tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    more = {"quantize": "4bit", "lora": {"r": 4, "merge": False}}
    prepared, told = train(SFT, tiny, write_rows(some_targets(30)), tmp_path / "out", **more)
    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, quantization_config=how)
    saved = PeftModel.from_pretrained(
        base, tmp_path / "out"
    ).train()  # in evaluation bitsandbytes rounds its scales on CPUs
    assert told["results"]["eval_loss"] == pytest.approx(held_out(saved, prepared), rel=1e-5)
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        'load it with `BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)`'
        in card
    )


@pytest.mark.model
def test_losses_are_near_those_of_plain_weights(tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> None:
    """And at the first step of DPO the policy is its own reference, whose weights are in few bits too."""
    data = write_rows(some_pairs(30))
    losses: dict[str, list[float]] = {}
    for bits in (None, "8bit", "4bit"):
        train(DPO, tiny, data, tmp_path / str(bits), quantize=bits, precision="bf16")
        rows = read(tmp_path / str(bits) / "metrics.jsonl")
        assert next(row for row in rows if row.split == "train").values["reward_margin"] == pytest.approx(0, abs=1e-6)
        losses[str(bits)] = [row.values["loss"] for row in rows if row.split in ("train", "eval")]
    assert losses["8bit"] == pytest.approx(losses["None"], rel=0.01)
    assert losses["4bit"] == pytest.approx(losses["None"], rel=0.05)
    assert losses["4bit"] != losses["8bit"]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_results_depend_neither_on_layout_nor_on_micro_batches(tiny: Path, layout: Any) -> None:
    settings = SFT(quantize="4bit", layout=layout, lora={"r": 4})
    policy = load_policy(resolve(str(tiny)), settings)
    examples = [Example([3, 4, 5], [[7, 8], [9, 10, 11]]), Example([3, 4, 5, 6, 7], [[7, 8, 2]])]
    whole = policy(collate(examples, layout)).logprobs
    parts = torch.cat([policy(collate([one], layout)).logprobs for one in examples])
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)


def test_models_that_keep_their_weights_the_other_way_round(tmp_path: Path) -> None:
    """GPT-2's Conv1D: read, adapted, merged and saved under its own names and shapes."""
    make_tiny(tmp_path / "llama")
    config = GPT2Config(vocab_size=24, n_positions=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    load_tokenizer(resolve(str(tmp_path / "llama"))).save_pretrained(tmp_path / "gpt")
    files, settings = resolve(str(tmp_path / "gpt")), SFT(quantize="8bit", lora={"r": 4}, precision="fp32")
    policy = load_policy(files, settings)
    for name, p in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    batch = collate([Example([3, 4, 5], [[7, 8, 9]])], policy.layout)
    trained = policy(batch).logprobs.detach()
    save(policy, load_tokenizer(files), tmp_path / "out", merge=True)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("gpt", "out"))
    assert {name: w.shape for name, w in after.items()} == {name: w.shape for name, w in before.items()}
    again = load_policy(resolve(str(tmp_path / "out")), SFT(precision="fp32"))
    torch.testing.assert_close(again(batch).logprobs, trained, rtol=1e-4, atol=1e-4)


def test_without_updates_nothing_has_moved(tiny: Path) -> None:
    policy = load_policy(resolve(str(tiny)), SFT(quantize="4bit", lora={"r": 4}))
    plain, counts = merged(policy.model, torch.bfloat16)
    assert (counts.moved, counts.updated) == (0, 0)
    assert counts.weights == sum(p.numel() for p in plain.parameters())
