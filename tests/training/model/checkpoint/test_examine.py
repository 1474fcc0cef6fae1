"""What is told of a checkpoint before its weights load: names, shapes, tokens, adapters, and whether it can be saved."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GenerationConfig, LlamaForCausalLM

from benchmarks.tiny import make_tiny
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from training.config import Lora, Training
from training.model.checkpoint.configs import keep_processor, write_model
from training.model.checkpoint.examine import Kind, check_tokens, examine
from training.model.loading import load_policy
from training.recipes.config import SFT


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("source"))


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "model"))


def files_of(folder: Path) -> ModelFiles:
    return ModelFiles(folder.name, folder, "0" * 32, 128)


def told(folder: Path, kind: Kind = "policy", heads: int = 1, settings: Training | None = None) -> tuple[str, ...]:
    files = files_of(folder)
    return examine(files, load_tokenizer(files), settings or SFT(), kind, heads).notes


def weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", ["policy", "reward", "critic"])
def test_a_sound_checkpoint_has_no_notes(folder: Path, kind: Kind) -> None:
    assert told(folder, kind) == ()


LAYER = "model.layers.1.mlp.down_proj.weight"


@pytest.mark.parametrize("kind", ["policy", "reward", "critic"])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda w: w.pop(LAYER), f"missing tensors, which would be random numbers: {LAYER};", id="missing"),
        pytest.param(
            lambda w: w.update({LAYER: torch.ones(2, 2)}), f"another size than config.json says: {LAYER};", id="size"
        ),
        pytest.param(
            lambda w: w.update({"model.x.weight": torch.ones(2)}), "without a place in the model: model.x", id="more"
        ),
    ],
)
def test_wrong_tensors_are_named_before_weights_load(
    folder: Path, change: Callable[[dict[str, Any]], object], text: str, kind: Kind
) -> None:
    weights(folder, change)
    with pytest.raises(ModelError, match=text):
        told(folder, kind)


def test_what_is_left_over_and_harmless_is_told(folder: Path) -> None:
    constant = "model.layers.0.self_attn.rotary_emb.inv_freq"
    weights(folder, lambda w: w.update({"v_head.summary.weight": torch.ones(1, 32), constant: torch.ones(4)}))
    assert told(folder) in (
        ("model model: tensors that are not used, such as heads of another kind of model: v_head.summary.weight",),
        (
            f"model model: tensors that are not used, such as heads of another kind of model: {constant}, v_head.summary.weight",
        ),
    )


def test_of_many_that_are_left_over_three_are_named(folder: Path) -> None:
    weights(folder, lambda w: w.update({f"v_head.x{i}.weight": torch.ones(1) for i in range(5)}))
    (note,) = told(folder)
    assert re.search(r": (v_head\.x\d\.weight, ){2}v_head\.x\d\.weight and 2 more$", note)


def test_heads_that_are_thrown_away_are_told(folder: Path) -> None:
    configure(folder, architectures=["LlamaForSequenceClassification"], id2label={str(i): str(i) for i in range(3)})
    weights(folder, lambda w: w.update({"score.weight": torch.ones(3, 32)}))
    assert told(folder, "reward", 3) == ()
    (note,) = told(folder, "reward", 1)
    assert note.startswith("model model: has 3 heads and 1 are asked for")
    assert note.endswith("set heads: 3")


def test_adapters_are_held_against_the_layers(folder: Path) -> None:
    with pytest.raises(ModelError, match="no layer of the model is named w1"):
        told(folder, settings=SFT(lora=Lora(targets=("q_proj", "w1"))))


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors", "torchao", "novel"])
def test_weights_of_few_bits_are_refused(folder: Path, method: str) -> None:
    configure(folder, quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(ModelError, match=rf"its weights are quantized \({method}\), and what was rounded away"):
        told(folder)


def test_fp8_weights_are_multiplied_by_their_scales(folder: Path) -> None:
    """One scale for each block of 128 x 128, as DeepSeek and Qwen publish them."""
    small = 8.0

    def quantize(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            tensors[f"{name}_scale_inv"] = torch.full((1, 1), 1 / small)
            tensors[name] = (tensors[name] * small).to(torch.float8_e4m3fn)

    weights(folder, quantize)
    kept = load_file(folder / "model.safetensors")
    config = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    configure(folder, quantization_config=config)
    assert told(folder) == ()
    module = load_policy(files_of(folder), SFT())
    own = dict(module.inner.named_parameters())
    torch.testing.assert_close(own[LAYER].data, kept[LAYER].float() / small)
    write_model(module.inner, folder, folder.parent / "out")
    assert "quantization_config" not in json.loads((folder.parent / "out/config.json").read_text())


def test_tokens_beyond_the_embedding_are_refused(folder: Path) -> None:
    files = files_of(folder)
    tokenizer = load_tokenizer(files)
    tokenizer.add_tokens(["<new>"])
    known = examine(files, tokenizer, SFT(), "policy").vocabulary
    check_tokens([[1, known - 1], []], known, tokenizer, files)
    with pytest.raises(
        ModelError, match=rf"its tokenizer writes '<new>' as {known}, and its embedding has {known} rows"
    ):
        check_tokens([[1, 2], [known]], known, tokenizer, files)


def test_a_generation_config_that_transformers_does_not_write_is_kept_as_it_was(folder: Path, tmp_path: Path) -> None:
    text = json.dumps({"do_sample": False, "temperature": 0.9, "top_p": 0.6, "eos_token_id": 2})
    (folder / "generation_config.json").write_text(text)
    model = LlamaForCausalLM.from_pretrained(folder)
    with pytest.raises(ValueError, match="GenerationConfig is invalid"):
        model.save_pretrained(tmp_path / "by-transformers")
    write_model(model, folder, tmp_path / "ours")
    assert (tmp_path / "ours/generation_config.json").read_text() == text
    assert model.generation_config.temperature == 0.9
    assert GenerationConfig.from_pretrained(tmp_path / "ours").eos_token_id == 2


def test_a_tokenizer_that_could_not_be_saved_is_told_before_training(folder: Path) -> None:
    files = files_of(folder)
    tokenizer = load_tokenizer(files)
    tokenizer.init_kwargs["odd"] = object()
    with pytest.raises(ModelError, match="its tokenizer can be read and not saved, so that training would be lost"):
        examine(files, tokenizer, SFT(), "policy")


SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def vision(folder: Path) -> Path:
    """A Gemma 3 that reads images, beside the tiny model's tokenizer."""
    text = SMALL | {"vocab_size": 24, "head_dim": 8, "num_key_value_heads": 2, "max_position_embeddings": 128}
    config = Gemma3Config(
        text_config=text, vision_config=SMALL | {"image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"size": 28}')
    return folder


def test_a_vision_model_is_trained_on_text_with_all_its_parts(folder: Path, tmp_path: Path) -> None:
    assert told(vision(folder)) == ()
    module = load_policy(files_of(folder), SFT())
    write_model(module.inner, folder, tmp_path / "out")
    keep_processor(folder, tmp_path / "out")
    assert load_file(tmp_path / "out/model.safetensors").keys() == load_file(folder / "model.safetensors").keys()
    assert (tmp_path / "out/preprocessor_config.json").read_text() == '{"size": 28}'


@pytest.mark.parametrize("kind", ["reward", "critic"])
def test_no_reward_model_is_made_of_a_vision_model(folder: Path, kind: Kind) -> None:
    with pytest.raises(ModelError, match="has parts beside its language model, of which no reward model is made"):
        told(vision(folder), kind)
