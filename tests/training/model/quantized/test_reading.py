"""Which bases may be quantized or are, and what is refused before any weights load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from constitution.errors import UserError
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_config, load_tokenizer
from training.config import Lora
from training.data.batches import Example, collate
from training.model.checkpoint.examine import examine
from training.model.loading import load_policy
from training.model.quantized import reading
from training.model.quantized.layers import is_quantized
from training.ppo.config import PPO
from training.recipes.config import DPO, SFT
from training.run import job

ADAPTED: dict[str, Any] = {"lora": Lora(r=4)}


def files_of(folder: Path) -> ModelFiles:
    return ModelFiles(folder.name, folder, "0" * 32, 128)


def quantized(tiny: Path, folder: Path, bits: str) -> Path:
    """The tiny model as bitsandbytes saves it."""
    how = BitsAndBytesConfig(load_in_4bit=bits == "4bit", load_in_8bit=bits == "8bit", bnb_4bit_quant_type="nf4")
    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, quantization_config=how).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny / name, folder / name)
    return folder


def test_quantized_weights_are_trained_through_an_adapter_alone() -> None:
    with pytest.raises(ValidationError, match="can only be trained through an adapter; set lora"):
        DPO(quantize="4bit")
    with pytest.raises(ValidationError, match="leave one of them out"):
        DPO(quantize="4bit", lora=Lora(), compile=True)
    rewards = {"rules": {"constitution": "x"}}
    with pytest.raises(ValidationError, match="vLLM would sample from the base as it was before"):
        PPO.model_validate({"reward": rewards, "quantize": "8bit", "lora": {"r": 4}, "sampler": {"engine": "vllm"}})


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    wanted = (
        r"quantize: got 4bit, and bitsandbytes is not installed; pip install 'solon-cai\[quantize\]', or leave it out"
    )
    with pytest.raises(UserError, match=wanted):
        job.prepare(SFT(model=str(tiny), quantize="4bit", **ADAPTED), tmp_path / "out")


def test_weights_in_few_bits_are_not_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(
        UserError, match=r"quantize: got 8bit, whose weights are not spread .* configs/accelerate/ddp\.yaml"
    ):
        reading.check(SFT(quantize="8bit", **ADAPTED))


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_base_that_is_quantized_already_is_taken_as_it_is(tiny: Path, tmp_path: Path, bits: Any) -> None:
    files = files_of(quantized(tiny, tmp_path / "base", bits))
    settings = SFT(**ADAPTED)
    assert reading.bits_of(load_config(files)) == bits
    assert examine(files, load_tokenizer(files), settings, "policy").notes == ()
    policy = load_policy(files, settings)
    assert is_quantized(policy.inner)
    theirs = AutoModelForCausalLM.from_pretrained(files.path, dtype=torch.float32)
    ids = [3, 4, 5, 7, 8, 9]
    logits = theirs(torch.tensor([ids])).logits[0, 2:-1].log_softmax(-1)
    own = policy(collate([Example(ids[:3], [ids[3:]])], "packed")).logprobs
    # bitsandbytes' own layers of 8 bits round activations too
    torch.testing.assert_close(
        own, logits.gather(-1, torch.tensor(ids[3:])[:, None])[:, 0], rtol=0, atol=1e-5 if bits == "4bit" else 0.02
    )
    other = {"4bit": "8bit", "8bit": "4bit"}[bits]
    with pytest.raises(
        ModelError, match=rf"quantize: got {other}, and the weights of model base are quantized already \({bits}\)"
    ):
        load_policy(files, SFT(quantize=other, **ADAPTED))
    with pytest.raises(
        ModelError, match=r"its weights are quantized \(bitsandbytes\).*set lora: \{r: 16\}, which trains an adapter"
    ):
        examine(files, load_tokenizer(files), SFT(), "policy")


def test_other_few_bits_are_not_quantized_again(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    files = files_of(folder)
    with pytest.raises(
        ModelError, match=r"quantize: got 4bit, and the weights of model base are quantized already \(fp8\)"
    ):
        examine(files, load_tokenizer(files), SFT(quantize="4bit", **ADAPTED), "policy")
